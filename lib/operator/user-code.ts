/**
 * What operators check of user functions, and how they show in a message what those returned.
 */
import { MillraceError } from '../base/errors.ts';

/**
 * Ends a user function that answered with a promise: an operator cannot wait.
 * @throws MillraceError USER_CODE
 */
export function refusePromise(value: unknown, where: string): void {
  if (!(value instanceof Promise)) return;
  // Its own failure, if it has one, is nobody's news any more.
  value.catch(() => {});
  throw new MillraceError(
    'USER_CODE',
    `${where} returned a promise; operators are synchronous: look data up with a table join`,
  );
}

/** What a user function gave, if it is no promise. Throws as `refusePromise`. */
export function synchronous<T>(value: T, where: string): T {
  refusePromise(value, where);
  return value;
}

/**
 * What a record without a key is refused with.
 * @param keyField where keys are of a field; null: a function makes them
 */
export function keyless(cannot: string, keyField: string | null = null): MillraceError {
  const why = keyField === null ? 'keyBy gave null or undefined' : `its field ${keyField} is missing or null`;
  return new MillraceError('RECORD_KEY', `a record without a key ${cannot}: ${why}`);
}

/** A value as an error message shows it: short, and never throwing itself. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? value.slice(0, 40) + '…' : value);
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'a list' : `a value of type ${typeof value}`;
}

/** Records that a call may make of one. */
export const FAN_OUT_MAX = 100_000;

/** Throws LIMIT_REACHED before anything has changed or is sent: the record makes more than a batch should have to hold. */
export function checkFanOut(count: number, what: string): void {
  if (count <= FAN_OUT_MAX) return;
  throw new MillraceError('LIMIT_REACHED', `${what} makes more than FAN_OUT_MAX (${FAN_OUT_MAX}) records`);
}

/**
 * What flatMap's function gave, as a list. `Array.from` alone makes an empty list of what is none, and records vanish; and
 * a generator may have no end.
 */
export function listed(result: unknown): unknown[] {
  if (Array.isArray(result)) {
    checkFanOut(result.length, 'the function of flatMap');
    return result;
  }
  if (typeof result !== 'object' || result === null || !(Symbol.iterator in result)) {
    throw new MillraceError(
      'USER_CODE',
      `the function of flatMap returned ${shown(result)}: return a list, empty for none`,
    );
  }
  const list: unknown[] = [];
  for (const one of result as Iterable<unknown>) {
    checkFanOut(list.length + 1, 'the function of flatMap');
    list.push(one);
  }
  return list;
}
