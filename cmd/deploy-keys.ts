/** The file of deploy keys: made here, and read when a worker starts. */
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

/**
 * Writes a new key that only its owner may read; nothing is overwritten. Returns its name. Throws INVALID_ARGUMENT: the file
 * cannot be written, or is there already.
 */
export function writeDeployKey(path: string): { readonly id: string; readonly publicPem: string } {
  const { pem, publicPem, id } = makeDeployKey();
  try {
    writeFileSync(path, pem, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const text = `the deploy key ${path} cannot be written: ${messageOf(error)}; give another file with --out`;
    throw new MillraceError('INVALID_ARGUMENT', text, { cause: error });
  }
  return { id, publicPem };
}
