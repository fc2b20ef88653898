/**
 * Events: what happened, as plain values that know their own level. Whoever sees something worth telling emits one;
 * log lines, metrics and the terminal of `dev` are made from them and from nothing else.
 *
 * Names are `<thing>.<what happened>` in the past tense (`task.restored`, `pipeline.failed`). Fields are scalars whose
 * unit ends the name. The same fields mean the same everywhere: `pipeline`, `stage`, `partition`, `reader`, `worker`,
 * `code`, `message`.
 *
 * - `debug` of use only to somebody who reads the code beside it
 * - `info`  a change of state that an operator expects
 * - `warn`  it passes by itself, or one record suffers; look at it when there are many
 * - `error` something has stopped, and a person must act
 */
import { isMillraceError, messageOf } from '../base/errors.ts';

export type Level = 'debug' | 'info' | 'warn' | 'error';

export type Field = string | number | boolean | null | undefined | readonly string[];

export interface Event {
  readonly event: string;
  readonly level: Level;
  readonly [field: string]: Field;
}

/** Takes events. Never throws and never waits: an event is told, not delivered. */
export interface Observer {
  emit(event: Event): void;
}

/** For tests and for code that nobody watches. */
export const silent: Observer = { emit() {} };

/** Tells several observers the same. */
export function observers(...all: readonly Observer[]): Observer {
  return {
    emit(event) {
      for (const one of all) one.emit(event);
    },
  };
}

/** The fields that every event about an error carries; causes are joined, outermost first. */
export function errorFields(error: unknown): { code: string; message: string } {
  const code = isMillraceError(error) ? error.code : 'UNEXPECTED';
  const texts: string[] = [];
  let depth = 0;
  for (let at: unknown = error; at !== undefined && at !== null && depth < 5; depth++) {
    const text = messageOf(at);
    if (!texts.some(earlier => earlier.includes(text))) texts.push(text);
    at = at instanceof Error ? at.cause : undefined;
  }
  return { code, message: texts.join(': ') };
}
