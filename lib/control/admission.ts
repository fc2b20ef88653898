/**
 * Who calls: from a token or a certificate to an identity. With an access file it is one of those that stand there; the one
 * token of the workers' settings, where its SHA-256 does not stand there, is everybody's who has it, and may all. Without
 * either everybody who reaches the API may all: on a laptop, or where nobody without a certificate reaches it.
 *
 * A worker passes a call on with the name of whoever called it, and its roles are what *this* worker knows of that name: a
 * peer can speak for others, but gives them nothing. Only those with the role may. Where there is no access file all
 * who are let in may do all anyway, so there it is believed of each of them.
 */
import { createHash } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import type { Metadata } from '@grpc/grpc-js';
import { MillraceError } from '../base/errors.ts';
import type { Observer } from '../observe/events.ts';
import { ANYONE } from '../service/caller.ts';
import type { Access } from './access.ts';
import { FileValue, readToken } from './files.ts';
import { type KnownIdentity, TOKEN_HOLDER } from './identities.ts';
import { Caller, Denied, type Grant, type Identity } from './roles.ts';

/** The worker that passes a call on, and for whom. */
export const FORWARDED = 'millrace-forwarded';
export const ON_BEHALF = 'millrace-on-behalf-of';

const ALL: readonly Grant[] = [
  { role: 'admin', pipelines: '*' },
  { role: 'peer', pipelines: '*' },
];
const NAME_CHARACTERS_MAX = 64;

/** What is known of a call before its request has come. */
export interface Arrival {
  readonly metadata: Metadata;
  /** `host:port`. */
  readonly from: string;
  /** The client's, if it showed one that was checked. */
  readonly certificate: PeerCertificate | undefined;
}

export class Admission {
  readonly #token: FileValue<string> | string | null;
  readonly #file: FileValue<readonly KnownIdentity[]> | null;
  readonly #observer: Observer;
  /** By what each is known by: `token <sha-256>`, `certificate <name>`, `name <name>`. */
  readonly #known = new Map<string, Identity>();

  /** Throws INVALID_ARGUMENT: a file cannot be used. */
  constructor({ token, tokenFile, identities, tls }: Access, observer: Observer) {
    this.#observer = observer;
    this.#token =
      tokenFile === undefined
        ? (token ?? null)
        : new FileValue({ file: tokenFile, read: () => checkedToken(readToken(tokenFile)) });
    if (typeof this.#token === 'string') checkedToken(this.#token);
    const isChecking = tls?.clientCaFile !== undefined;
    this.#file =
      identities === undefined
        ? null
        : new FileValue({
            file: identities.file,
            read: () => checkedIdentities(identities.read(), { file: identities.file, isChecking }),
          });
    this.#index();
  }

  /** What workers show each other; null: no token. */
  get token(): string | null {
    return typeof this.#token === 'string' ? this.#token : (this.#token?.value ?? null);
  }

  /** Reads what has changed. True: somebody may be somebody else now. */
  renew(): boolean {
    const tokenChanged = this.#token instanceof FileValue && this.#token.renew(this.#observer);
    const fileChanged = this.#file?.renew(this.#observer) === true;
    if (tokenChanged || fileChanged) this.#index();
    return tokenChanged || fileChanged;
  }

  #index(): void {
    const known = this.#known;
    known.clear();
    const { token } = this;
    if (token !== null) {
      const holder = { name: TOKEN_HOLDER, grants: ALL };
      known.set(`token ${digest(token)}`, holder).set(`name ${TOKEN_HOLDER}`, holder);
    }
    for (const one of this.#file?.value ?? []) {
      known.set(`name ${one.name}`, one);
      for (const hash of one.tokens) known.set(`token ${hash}`, one);
      for (const name of one.certificates) known.set(`certificate ${name}`, one);
    }
  }

  /** Throws UNAUTHENTICATED, and PERMISSION_DENIED where one who is no peer passes on a call. */
  caller({ metadata, from, certificate }: Arrival): Caller {
    const caller = this.#isOpen ? anybody(from, certificate) : this.#callerOf(metadata, { from, certificate });
    const via = text(metadata, FORWARDED);
    if (via === null) return caller;
    if (!caller.has('peer')) {
      throw new Denied(`only workers pass on calls, with the role peer, which ${caller.name} does not have`);
    }
    const name = text(metadata, ON_BEHALF) ?? ANYONE;
    const known = this.#isOpen ? { name: plain(name), grants: ALL } : this.#known.get(`name ${name}`);
    if (known !== undefined) return new Caller(known, { from, via: plain(via), knownBy: `name ${name}` });
    const who = `worker ${plain(via)} passes on a call of ${plain(name)}`;
    throw new Denied(`${who}, whom this worker does not know: are their access files the same?`);
  }

  /** What the caller may do has changed since: its roles, or that it is let in at all. */
  isOutdated({ identity, knownBy }: Caller): boolean {
    if (this.#isOpen) return false;
    const now = this.#known.get(knownBy);
    return now?.name !== identity.name || JSON.stringify(now.grants) !== JSON.stringify(identity.grants);
  }

  /** Nobody is asked for more than to reach it. */
  get #isOpen(): boolean {
    return this.#token === null && this.#file === null;
  }

  #callerOf(metadata: Metadata, { from, certificate }: Omit<Arrival, 'metadata'>): Caller {
    const header = text(metadata, 'authorization');
    const names = certificate === undefined ? [] : namesOf(certificate);
    // A token is found by its digest: how long that takes says nothing of it. Whoever shows one is known by it alone.
    const keys =
      header === null
        ? names.map(name => `certificate ${name}`)
        : [`token ${digest(/^bearer (.*)$/i.exec(header)?.[1] ?? '')}`];
    for (const knownBy of keys) {
      const identity = this.#known.get(knownBy);
      if (identity !== undefined) return new Caller(identity, { from, knownBy });
    }
    if (header !== null) throw unauthenticated('this is not the token that the API asks for');
    const isKnown = this.#file?.value.some(({ certificates }) => certificates.length > 0) === true;
    if (names.length === 0 || !isKnown) throw unauthenticated('the API asks for a token');
    throw unauthenticated(`the certificate of ${names.map(plain).join(', ')} is nobody's in the access file`);
  }
}

function anybody(from: string, certificate: PeerCertificate | undefined): Caller {
  const [name = ANYONE] = certificate === undefined ? [] : namesOf(certificate);
  return new Caller({ name: plain(name), grants: ALL }, { from, knownBy: '' });
}

/** The subject's common name, then the others. */
export function namesOf({ subject, subjectaltname }: PeerCertificate): string[] {
  const common = subject?.CN as string | string[] | undefined;
  // Node quotes a name that could be taken for another one; such a name is nobody's.
  const others = (subjectaltname ?? '').split(', ').filter(part => /^(DNS|URI|email):[^"]+$/.test(part));
  return [...[common ?? []].flat(), ...others.map(part => part.slice(part.indexOf(':') + 1))];
}

function unauthenticated(what: string): MillraceError {
  return new MillraceError(
    'UNAUTHENTICATED',
    `${what}; send it as "authorization: Bearer TOKEN", or set MILLRACE_TOKEN`,
  );
}

/** SHA-256 as the access file has it. */
export function digest(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

function checkedToken(token: string): string {
  if (/^[\x21-\x7e]{8,1024}$/.test(token)) return token;
  throw new MillraceError(
    'INVALID_ARGUMENT',
    'the token of the API must be 8 to 1,024 printable ASCII characters without spaces; make one, e.g. with: openssl rand -hex 32',
  );
}

function checkedIdentities(
  identities: readonly KnownIdentity[],
  { file, isChecking }: { file: string; isChecking: boolean },
): readonly KnownIdentity[] {
  const shown = identities.find(({ certificates }) => certificates.length > 0);
  if (shown === undefined || isChecking) return identities;
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `${file} knows ${shown.name} by a certificate, and nobody's certificate is looked at; give --tls-client-ca`,
  );
}

function text(metadata: Metadata, name: string): string | null {
  const [value] = metadata.get(name);
  return value === undefined ? null : String(value);
}

/** As a header and a log can carry it. */
function plain(name: string): string {
  return name.replace(/[^\x21-\x7e]/g, '_').slice(0, NAME_CHARACTERS_MAX);
}
