/** Files of secrets: deploy keys, made here and read when a worker starts, and tokens for the API, made here. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { MillraceError, messageOf } from '../lib/base/errors.ts';
import { makeDeployKey, SpecKeys } from '../lib/cluster/spec-keys.ts';

/** Throws INVALID_ARGUMENT: the file cannot be read, or holds no such keys. */
export function deployKeysOf(path: string): SpecKeys {
  let pem: string;
  try {
    pem = readFileSync(path, 'utf8');
  } catch (error) {
    const text = `the deploy keys ${path} cannot be read: ${messageOf(error)}; make some with: millrace keys --out ${path}`;
    throw new MillraceError('INVALID_ARGUMENT', text, { cause: error });
  }
  return SpecKeys.read(pem);
}

/** Writes a new key. Returns its name. Throws INVALID_ARGUMENT: the file cannot be written, or is there already. */
export function writeDeployKey(path: string): { readonly id: string; readonly publicPem: string } {
  const { pem, publicPem, id } = makeDeployKey();
  writeSecret(path, { what: 'deploy key', text: pem });
  return { id, publicPem };
}

const TOKEN_BYTES = 32;

/** Writes a new token for the API. Returns what the access file says of it. Throws as `writeDeployKey`. */
export function writeToken(path: string): string {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  writeSecret(path, { what: 'token', text: `${token}\n` });
  return `sha256:${createHash('sha256').update(token).digest('hex')}`;
}

/** Only its owner may read it; nothing is overwritten. */
function writeSecret(path: string, { what, text }: { readonly what: string; readonly text: string }): void {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const why = `the ${what} ${path} cannot be written: ${messageOf(error)}; give another file with --out`;
    throw new MillraceError('INVALID_ARGUMENT', why, { cause: error });
  }
}
