/**
 * The keys by which workers know each other's specs. Whoever may write to the registry's bucket could otherwise have code
 * of his own run by the workers. Where workers are given keys, each signs what it writes, and loads nothing else.
 *
 * What is signed (Ed25519, RFC 8032) is the whole spec with the key that it lies under, so none passes for another
 * pipeline's. An older one that was signed once stays signed: so the latest revision of each that was seen is remembered,
 * and none before it is taken. A process that has just begun has seen none yet; there the journals remember, which no older
 * revision takes over.
 *
 *   millrace-signature 5f0c3a1b9d2e4f60 <base64>\n
 *   {"name":"orders", …}
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { MillraceError, messageOf } from '../base/errors.ts';

interface NamedKey {
  /** 16 hex digits of the public key's SHA-256. */
  readonly id: string;
  readonly key: KeyObject;
}

const LABEL = 'millrace-signature';
const LINE = new RegExp(`^${LABEL} ([0-9a-f]{16}) ([A-Za-z0-9+/]{86}==)$`);
const NEWLINE = 10;
const BRACE = 123;

export class SpecKeys {
  /** Signs; null: this worker can only check. */
  readonly #signing: NamedKey | null;
  readonly #trusted: ReadonlyMap<string, KeyObject>;
  /** By place, the spec's revision and the registry's. */
  readonly #latest = new Map<string, { readonly revision: number; readonly at: number }>();

  private constructor(signing: NamedKey | null, trusted: ReadonlyMap<string, KeyObject>) {
    this.#signing = signing;
    this.#trusted = trusted;
  }

  /**
   * From the PEM text of a file: the first private key signs, and what any of the keys has signed is trusted, so that keys
   * can be exchanged one by one. Throws INVALID_ARGUMENT: it holds no key, or one that is not Ed25519.
   */
  static read(pem: string): SpecKeys {
    const blocks = pem.match(/-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----/g) ?? [];
    let signing: NamedKey | null = null;
    const trusted = new Map<string, KeyObject>();
    for (const block of blocks) {
      const isPrivate = block.startsWith('-----BEGIN PRIVATE KEY-----');
      const secret = isPrivate ? parsed(block, createPrivateKey) : null;
      const open = secret === null ? parsed(block, createPublicKey) : createPublicKey(secret);
      const id = idOf(open);
      trusted.set(id, open);
      if (secret !== null) signing ??= { id, key: secret };
    }
    if (trusted.size > 0) return new SpecKeys(signing, trusted);
    throw new MillraceError('INVALID_ARGUMENT', 'the file of deploy keys holds no key; make one with: millrace keys');
  }

  /** Throws SPEC_UNTRUSTED: there is no private key here. */
  sign(place: string, text: string): string {
    if (this.#signing === null) {
      throw new MillraceError(
        'SPEC_UNTRUSTED',
        'this worker has public deploy keys only, so it can check pipelines and change none: ask a worker that has a private one',
      );
    }
    const { id, key } = this.#signing;
    return `${LABEL} ${id} ${sign(null, signed(place, text), key).toString('base64')}`;
  }

  /** Why not, or null: it may be loaded. */
  mistrust(place: string, line: string | null, text: string): string | null {
    if (line === null) return 'is not signed';
    const [, id, signature] = LINE.exec(line) ?? [];
    if (id === undefined || signature === undefined) return 'has a signature that cannot be read';
    const key = this.#trusted.get(id);
    if (key === undefined) return `is signed with the key ${id}, which this worker does not know`;
    const fits = verify(null, signed(place, text), key, Buffer.from(signature, 'base64'));
    return fits ? null : 'was altered after it was signed';
  }

  /** The same for its age. `at`: the registry's revision; what was written before the latest that was seen is old news. */
  mistrustAge(place: string, { revision, at }: { revision: number; at: number }): string | null {
    const latest = this.#latest.get(place);
    if (latest !== undefined && at <= latest.at) return null;
    if (latest !== undefined && revision < latest.revision) {
      return `is revision ${revision}, put back over revision ${latest.revision}`;
    }
    this.#latest.set(place, { revision, at });
    return null;
  }
}

/** A new private key, PEM, and its name. */
export function makeDeployKey(): { readonly pem: string; readonly publicPem: string; readonly id: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    id: idOf(publicKey),
  };
}

/** The value of an entry: the spec, behind its signature where there are keys. */
export function seal(place: string, text: string, keys: SpecKeys | null): Uint8Array {
  return Buffer.from(keys === null ? text : `${keys.sign(place, text)}\n${text}`);
}

/** Takes such a value apart; one without a line begins with the spec. */
export function unseal(value: Uint8Array): { readonly line: string | null; readonly text: string } {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const end = bytes[0] === BRACE ? -1 : bytes.indexOf(NEWLINE);
  if (end < 0) return { line: null, text: bytes.toString() };
  return { line: bytes.toString('utf8', 0, end), text: bytes.toString('utf8', end + 1) };
}

function signed(place: string, text: string): Uint8Array {
  return Buffer.from(`${LABEL}\n${place}\n${text}`);
}

function idOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16);
}

function parsed(block: string, parse: (pem: string) => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = parse(block);
  } catch (error) {
    const text = `a deploy key cannot be read: ${messageOf(error)}; make one with: millrace keys`;
    throw new MillraceError('INVALID_ARGUMENT', text, { cause: error });
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `a deploy key is of the type ${key.asymmetricKeyType}, and must be Ed25519; make one with: millrace keys`,
  );
}
