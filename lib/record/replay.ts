/**
 * Replayed records: a letter's content, published again. What failed or was late *behind* a dedupe has been marked by it,
 * so the record would be taken for a copy of itself and vanish. Therefore a replay names in its header `Millrace-Replay`
 * the letter and the dedupe operators that had let it pass, each with its pipeline: these, and no others, let it pass
 * again. Another pipeline that reads the same subject judges it like any message.
 *
 *   Millrace-Replay: <pipeline>/<number> <pipeline>/<operator> …
 *
 * Within the pipeline this text travels where a record's dedupe id does (`Cursor.id`), before the id if there is one, so
 * that no record that is not replayed pays for it. Every record of the message carries it, so what is longer than
 * `REPLAY_LENGTH_MAX` is no replay.
 */
import { headerOf } from '../port/headers.ts';
import type { Headers } from '../port/log.ts';

export const HEADER_REPLAY = 'Millrace-Replay';

/** Room for nineteen of the longest names. */
export const REPLAY_LENGTH_MAX = 2_048;

const START = '\u0000replay\u0000';
const END = '\u0000';

export function replayText(pipeline: string, letter: { number: number; passed: readonly string[] }): string {
  return [letter.number, ...letter.passed].map(name => `${pipeline}/${name}`).join(' ');
}

/** What travels with the records of a message; null: it is no replay. */
export function replayOf(headers: Headers | null): string | null {
  const text = headerOf(headers, 'millrace-replay');
  return text === null || text.length > REPLAY_LENGTH_MAX ? null : START + text + END;
}

/** The record's dedupe id is now `id`; `before` is what travelled with it. */
export function withId(before: string | null, id: string): string {
  const length = replayLength(before);
  return length === 0 ? id : before!.slice(0, length) + id;
}

/** The dedupe id of what travels with a record, or null. */
export function idOf(travelling: string | null): string | null {
  const length = replayLength(travelling);
  if (length === 0) return travelling;
  return travelling!.length === length ? null : travelling!.slice(length);
}

/** Whether the record is a replay of one that the operator had let pass; `place` is `<pipeline>/<operator>`. */
export function hasPassed(travelling: string | null, place: string): boolean {
  const length = replayLength(travelling);
  return (
    length > 0 &&
    travelling!
      .slice(START.length, length - END.length)
      .split(' ')
      .includes(place)
  );
}

function replayLength(travelling: string | null): number {
  if (travelling === null || travelling.charCodeAt(0) !== 0 || !travelling.startsWith(START)) return 0;
  const end = travelling.indexOf(END, START.length);
  return end < 0 ? 0 : end + END.length;
}
