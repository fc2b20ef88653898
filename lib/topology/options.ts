/**
 * Options as authors wrote them, judged at the call. What a compiler would have refused comes here all the same, from
 * plain JavaScript, a cast or a spread, and must be a mistake with its line: at the first record it would end the worker.
 * What does not fit is noted and left out, so that the call goes on with its default.
 *
 * Durations and names are only let through: `graph.duration` and `graph.add` judge them wherever they come from.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { didYouMean } from '../base/nearest.ts';
import { shown } from '../operator/user-code.ts';
import { isDecoder } from '../record/format.ts';
import type { Graph } from './graph.ts';

/** What a value must be, in words that say what to write, and whether it is. */
export interface Fit {
  readonly be: string;
  is(value: unknown): boolean;
  /** What else to say of a value that is not. */
  hint?(value: unknown): string;
  /** Without it the call means nothing. */
  readonly needed?: true;
}

export const TEXT: Fit = { be: 'a text', is: value => typeof value === 'string' };
export const FUNCTION: Fit = { be: 'a function', is: value => typeof value === 'function' };
export const DURATION: Fit = { be: `a duration, e.g. '30s'`, is: value => value !== null };
export const OBJECT: Fit = { be: 'an object', is: isObject };

const FORMATS = ['auto', 'json', 'ndjson', 'text', 'bytes', 'msgpack', 'cloudEvents', 'protobuf'];

export const DECODER: Fit = {
  be: `a format, e.g. ndjson() of 'millrace'`,
  is: isDecoder,
  hint: value => {
    const name = typeof value === 'function' ? value.name : value;
    return typeof name === 'string' && FORMATS.includes(name) ? `; write format: ${name}()` : '';
  },
};

export const SCHEMA: Fit = {
  be: 'a Standard Schema: of zod 3.24 or later, valibot, arktype, …, or versions(…)',
  // Schemas of some libraries are functions.
  is: value =>
    (isObject(value) || typeof value === 'function') &&
    typeof (value as Partial<StandardSchemaV1>)['~standard']?.validate === 'function',
};

export const NAMED: Readonly<Record<'name', Fit>> = { name: TEXT };

export function oneOf(...names: readonly string[]): Fit {
  return {
    be: names.map(name => `'${name}'`).join(' or '),
    is: value => names.includes(value as string),
    hint: value => (typeof value === 'string' ? didYouMean(value, names) : ''),
  };
}

export function needed(fit: Fit): Fit {
  return { ...fit, needed: true };
}

/** What of `given` fits. `call` is how the author knows it: `dedupe`, `to`. */
export function judged<O extends object>(
  graph: Graph,
  call: string,
  given: O | undefined,
  fits: Readonly<Record<keyof O & string, Fit>>,
): Partial<O> {
  const names = Object.keys(fits) as (keyof O & string)[];
  if (given !== undefined && !isObject(given)) {
    graph.note(`the options of ${call} are an object with ${names.join(', ')}, not ${shown(given)}`);
    return {};
  }
  const fitting: Partial<O> = {};
  for (const name of Object.keys(given ?? {})) {
    if (Object.hasOwn(fits, name)) continue;
    graph.note(`${call} has no option '${name}'${didYouMean(name, names) || `; it has ${names.join(', ')}`}`);
  }
  for (const name of names) {
    const value = given?.[name];
    const fit = fits[name];
    if (value === undefined) {
      if (fit.needed) graph.note(`${call} needs ${name}: ${fit.be}`);
    } else if (fit.is(value)) fitting[name] = value;
    else graph.note(`${name} is ${shown(value)}: it must be ${fit.be}${fit.hint?.(value) ?? ''}`);
  }
  return fitting;
}

/** A function that the call takes by its place, or one that lets values pass. */
export function judgedFunction<F>(graph: Graph, call: string, given: F): F {
  if (typeof given === 'function') return given;
  graph.note(`${call} takes a function, not ${shown(given)}`);
  return ((value: unknown) => value) as F;
}

/** Functions by name, with one that takes all for what is none; `what` is what the names name. */
export function judgedFunctions(graph: Graph, call: string, what: string, given: unknown): Record<string, unknown> {
  if (!isObject(given)) {
    graph.note(`${call} takes an object with a function for each ${what}, not ${shown(given)}`);
    return {};
  }
  const fitting: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    fitting[name] = typeof value === 'function' ? value : () => true;
    if (typeof value !== 'function')
      graph.note(`${what} '${name}' of ${call} is ${shown(value)}: it must be a function`);
  }
  return fitting;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
