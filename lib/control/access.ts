/**
 * Who may ask a server, and how: TLS, client certificates, a token. Certificates are read again when their files change,
 * so that they can be renewed without a restart; files that cannot be used are told, and what was read before stays.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { statSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { ServerCredentials, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { bareHost, splitAddress } from '../base/address.ts';
import { MillraceError, messageOf } from '../base/errors.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import type { ClientOptions } from './channel.ts';
import { headerText, toStatus } from './errors.ts';
import { readPem } from './pem.ts';
import { SERVICES } from './schema.ts';

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
  /** A bearer token that every call must carry, but health checks. */
  readonly token?: string;
  /** Take the token over a network without TLS all the same. */
  readonly insecure?: boolean;
}

const HEALTH = `/${SERVICES.Health}/`;

/** Throws INVALID_ARGUMENT when it would be unsafe. @param listen `host:port`. */
export function checkAccess(listen: string, { tls, token, insecure = false }: Access): void {
  if (token !== undefined && !/^[\x21-\x7e]{8,1024}$/.test(token)) {
    const text =
      'the token of the API must be 8 to 1,024 printable ASCII characters without spaces; make one, e.g. with';
    throw new MillraceError('INVALID_ARGUMENT', `${text}: openssl rand -hex 32`);
  }
  if (token === undefined || tls !== undefined || insecure || isLoopback(listen)) return;
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `the API would take its token over the network at ${listen} without TLS, where others can read it; ` +
      'give it a certificate (--tls-cert, --tls-key), let it listen on 127.0.0.1, or say --insecure',
  );
}

function isLoopback(listen: string): boolean {
  const host = bareHost(splitAddress(listen)[0]);
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** How a worker with this access reaches the others, which have the same. */
export function accessOfPeers({ tls, token }: Access): Omit<ClientOptions, 'address'> {
  const caFile = tls?.caFile ?? tls?.clientCaFile;
  return {
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined
      ? {}
      : { tls: { certFile: tls.certFile, keyFile: tls.keyFile, ...(caFile === undefined ? {} : { caFile }) } }),
  };
}

/**
 * Lets calls with the token pass (all but health checks need it), and sees to it that the texts of all statuses fit into a
 * header, those of the library too.
 */
export function gate(token: string | undefined): ServerInterceptor {
  const wanted = token === undefined ? null : digest(`Bearer ${token}`);
  return ({ path }, call) => {
    const isOpen = wanted === null || path.startsWith(HEALTH);
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, pass) {
            const [given] = metadata.get('authorization');
            if (isOpen || timingSafeEqual(digest(String(given ?? '')), wanted)) pass(metadata);
            else call.sendStatus(toStatus(unauthenticated(given !== undefined)));
          },
        });
      },
      sendStatus(status, next) {
        next(status.details === undefined ? status : { ...status, details: headerText(status.details) });
      },
    });
  };
}

/** Digests have one length, which a comparison in constant time needs. */
function digest(text: string): Buffer {
  return createHash('sha256')
    .update(text.replace(/^bearer /i, 'Bearer '))
    .digest();
}

function unauthenticated(given: boolean): MillraceError {
  const what = given ? 'this is not the token that the API asks for' : 'the API asks for a token';
  return new MillraceError(
    'UNAUTHENTICATED',
    `${what}; send it as "authorization: Bearer TOKEN", or set MILLRACE_TOKEN`,
  );
}

/** Throws INVALID_ARGUMENT. @param reloadMs how often files are looked at. */
export function serverCredentials(
  tls: ServerTls | undefined,
  options: { observer: Observer; reloadMs: number },
): { credentials: ServerCredentials; stop(): void } {
  if (tls === undefined) return { credentials: ServerCredentials.createInsecure(), stop() {} };
  const credentials = new FileCredentials(tls, options.observer);
  const timer = setInterval(() => credentials.renew(), options.reloadMs).unref();
  return { credentials, stop: () => clearInterval(timer) };
}

class FileCredentials extends ServerCredentials {
  readonly #tls: ServerTls;
  readonly #observer: Observer;
  #seen: string;

  constructor(tls: ServerTls, observer: Observer) {
    const seen = stateOf(tls);
    const checkClients = tls.clientCaFile !== undefined;
    super({ requestCert: checkClients, rejectUnauthorized: checkClients }, contextOf(tls));
    this.#tls = tls;
    this.#observer = observer;
    this.#seen = seen;
  }

  renew(): void {
    const seen = stateOf(this.#tls);
    if (seen === this.#seen) return;
    this.#seen = seen;
    try {
      this.updateSecureContextOptions(contextOf(this.#tls));
      this.#observer.emit({ event: 'api.certificate-renewed', level: 'info', file: this.#tls.certFile });
    } catch (error) {
      this.#observer.emit({ event: 'api.certificate-unusable', level: 'warn', ...errorFields(error) });
    }
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** Changes when one of the files does, also where links are turned, as Kubernetes does it. */
function stateOf({ certFile, keyFile, clientCaFile }: ServerTls): string {
  return [certFile, keyFile, clientCaFile]
    .map(file => (file === undefined ? undefined : statSync(file, { throwIfNoEntry: false })))
    .map(stat => (stat === undefined ? '-' : `${stat.ino} ${stat.mtimeMs} ${stat.size}`))
    .join(',');
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
