/**
 * How a server is reached: where it may listen, and TLS. Certificates are read again when their files change, so that they
 * can be renewed without a restart. Who calls is found out in `admission.ts`.
 */
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';
import { bareHost, splitAddress } from '../base/address.ts';
import { MillraceError, messageOf } from '../base/errors.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import type { ClientOptions } from './channel.ts';
import { type FileSource, stateOf } from './files.ts';
import type { KnownIdentity } from './identities.ts';
import { readPem } from './pem.ts';

/** Paths of PEM files. */
export interface ServerTls {
  readonly certFile: string;
  readonly keyFile: string;
  /** Callers need a certificate by one of these authorities. */
  readonly clientCaFile?: string;
  /** Authorities of the other workers' certificates; default `clientCaFile`, or else those that Node knows. */
  readonly caFile?: string;
}

export interface Access {
  readonly tls?: ServerTls;
  /** A bearer token: whoever has it may all. What workers show each other. */
  readonly token?: string;
  /** Path of a file that it is in, instead; read again when it changes. */
  readonly tokenFile?: string;
  /** Everybody else who may call, and what; read again when the file changes. */
  readonly identities?: FileSource<readonly KnownIdentity[]>;
  /** Listen where others can reach it, though they are not asked who they are, or can read what is sent. */
  readonly insecure?: boolean;
}

/**
 * The API runs what it is given, so it is closed unless somebody opens it. Throws INVALID_ARGUMENT when others could reach
 * it, or read what is sent. @param listen `host:port`.
 */
export function checkAccess(listen: string, { tls, token, tokenFile, identities, insecure = false }: Access): void {
  if (insecure || isLoopback(listen) || tls?.clientCaFile !== undefined) return;
  const isAsking = token !== undefined || tokenFile !== undefined || identities !== undefined;
  if (tls !== undefined && isAsking) return;
  const what = isAsking
    ? `take tokens over the network at ${listen} without TLS, where others can read them`
    : `run code for everybody who reaches ${listen}`;
  const certificate = tls === undefined ? 'a certificate (--tls-cert, --tls-key)' : '';
  const who = isAsking ? '' : 'those who may call it (--tls-client-ca, --access or --token-file)';
  const give = [certificate, who].filter(part => part !== '').join(' and ');
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `the API would ${what}; give it ${give}, let it listen on 127.0.0.1, or say --insecure`,
  );
}

function isLoopback(listen: string): boolean {
  const host = bareHost(splitAddress(listen)[0]);
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** How a worker with this access reaches the others, which have the same. @param token what it shows them. */
export function accessOfPeers({ tls }: Access, token: string | null): Omit<ClientOptions, 'address'> {
  const caFile = tls?.caFile ?? tls?.clientCaFile;
  return {
    ...(token === null ? {} : { token }),
    ...(tls === undefined
      ? {}
      : { tls: { certFile: tls.certFile, keyFile: tls.keyFile, ...(caFile === undefined ? {} : { caFile }) } }),
  };
}

/** Throws INVALID_ARGUMENT. `renew` reads what has changed; true: it is used from now on. */
export function serverCredentials(
  tls: ServerTls | undefined,
  observer: Observer,
): { readonly credentials: ServerCredentials; renew(): boolean } {
  if (tls === undefined) return { credentials: ServerCredentials.createInsecure(), renew: () => false };
  const credentials = new FileCredentials(tls, observer);
  return { credentials, renew: () => credentials.renew() };
}

class FileCredentials extends ServerCredentials {
  readonly #tls: ServerTls;
  readonly #observer: Observer;
  #seen: string;

  constructor(tls: ServerTls, observer: Observer) {
    const seen = stateOf(filesOf(tls));
    const checkClients = tls.clientCaFile !== undefined;
    super({ requestCert: checkClients, rejectUnauthorized: checkClients }, contextOf(tls));
    this.#tls = tls;
    this.#observer = observer;
    this.#seen = seen;
  }

  renew(): boolean {
    const seen = stateOf(filesOf(this.#tls));
    if (seen === this.#seen) return false;
    this.#seen = seen;
    try {
      this.updateSecureContextOptions(contextOf(this.#tls));
      this.#observer.emit({ event: 'api.certificate-renewed', level: 'info', file: this.#tls.certFile });
      return true;
    } catch (error) {
      this.#observer.emit({ event: 'api.certificate-unusable', level: 'warn', ...errorFields(error) });
      return false;
    }
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function filesOf({ certFile, keyFile, clientCaFile }: ServerTls): readonly (string | undefined)[] {
  return [certFile, keyFile, clientCaFile];
}

function contextOf({ certFile, keyFile, clientCaFile }: ServerTls): SecureContextOptions {
  const context: SecureContextOptions = {
    cert: readPem(certFile),
    key: readPem(keyFile),
    ...(clientCaFile === undefined ? {} : { ca: readPem(clientCaFile) }),
    minVersion: 'TLSv1.2',
  };
  try {
    createSecureContext(context);
    return context;
  } catch (cause) {
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `${certFile} and ${keyFile} cannot be used for TLS: ${messageOf(cause)}; give PEM files, a certificate and its key`,
      { cause },
    );
  }
}
