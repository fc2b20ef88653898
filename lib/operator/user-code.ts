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

/** A value as an error message shows it: short, and never throwing itself. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? value.slice(0, 40) + '…' : value);
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'a list' : `a value of type ${typeof value}`;
}
