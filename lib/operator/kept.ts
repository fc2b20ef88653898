/**
 * What operators keep of values. State is written to the journal and read back after a restart, so a value in it must be
 * what the journal carries, and must not change but by a commit.
 *
 * A value that came with a frame is data, but one that a user's function has made in the same program may be anything:
 * `checkData` refuses it before it is anybody's state, as poison of its record. Later it could only stop the task.
 * Values that user functions see while they are kept are frozen: a function that changes what it is given throws, and
 * does not make a state that is gone after a restart.
 */
import { encodeRows, VALUE_NESTING_MAX } from '../record/rows.ts';
import { refusePromise } from './user-code.ts';

/** @throws MillraceError RECORD_UNWRITABLE naming the field that no journal carries. */
export function checkData(value: unknown): void {
  // What the quick look does not know is asked of the writer itself, which also finds the words.
  if (!isPlain(value, VALUE_NESTING_MAX)) encodeRows([value]);
}

/** Surely data: plain objects and lists of them, texts, numbers, booleans, no deeper than `depth`. */
function isPlain(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'undefined':
      return true;
    case 'object':
      break;
    default:
      return false;
  }
  if (value === null) return true;
  if (depth === 0) return false;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) if (!isPlain(value[i], depth - 1)) return false;
    return true;
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  for (const name in value) if (!isPlain((value as Record<string, unknown>)[name], depth - 1)) return false;
  return true;
}

/** The same value, which nobody can change any more: plain objects and lists, all the way down. */
export function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) frozen(value[i]);
    return Object.freeze(value);
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  for (const name in value) frozen((value as Record<string, unknown>)[name]);
  return Object.freeze(value);
}

/** What a user's function has taken from a record, to be kept and shown to nobody but as it is. Throws as `checkData`, and for a promise. */
export function kept<T>(value: T, where: string): T {
  refusePromise(value, where);
  checkData(value);
  return frozen(value);
}
