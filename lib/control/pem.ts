/** PEM files: certificates and keys, as they lie on disk. */
import { readFileSync } from 'node:fs';
import { MillraceError, messageOf } from '../base/errors.ts';

/** Throws INVALID_ARGUMENT. */
export function readPem(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new MillraceError('INVALID_ARGUMENT', `${file} cannot be read: ${messageOf(cause)}; give a PEM file`, {
      cause,
    });
  }
}
