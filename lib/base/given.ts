/**
 * What authors give to the plain functions of the library (`sum`, `msgpack`, …), judged at the call: a compiler would have
 * refused it, but not all code is compiled, and a wrong argument must not wait for the first record. Calls of a pipeline
 * note their mistakes in the graph instead (`topology/options.ts`).
 */
import { MillraceError } from './errors.ts';
import { didYouMean } from './nearest.ts';

/** Throws INVALID_ARGUMENT for what is no function. `example`: what to write. */
export function checkFunction(call: string, given: unknown, example: string): void {
  if (typeof given === 'function') return;
  throw new MillraceError('INVALID_ARGUMENT', `${call} takes a function, not ${kindOf(given)}: write ${example}`);
}

/** Throws INVALID_ARGUMENT for what is no object, and for names that nobody reads. */
export function checkOptions(call: string, given: unknown, names: readonly string[]): void {
  if (given === undefined) return;
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    const text = `the options of ${call} are an object with ${names.join(', ')}, not ${kindOf(given)}`;
    throw new MillraceError('INVALID_ARGUMENT', text);
  }
  const unknown = Object.keys(given).find(name => !names.includes(name));
  if (unknown === undefined) return;
  const has = didYouMean(unknown, names) || `; it has ${names.join(', ')}`;
  throw new MillraceError('INVALID_ARGUMENT', `${call} has no option '${unknown}'${has}`);
}

/** Throws INVALID_ARGUMENT for what is no whole number from 1 on. */
export function checkCount(what: string, given: unknown): void {
  if (Number.isSafeInteger(given) && (given as number) > 0) return;
  throw new MillraceError('INVALID_ARGUMENT', `${what} is a whole number from 1 on, not ${kindOf(given)}`);
}

function kindOf(given: unknown): string {
  if (typeof given === 'string') return `'${given.slice(0, 40)}'`;
  if (typeof given === 'number' || given === null || given === undefined) return String(given);
  return Array.isArray(given) ? 'a list' : `a value of type ${typeof given}`;
}
