/**
 * A keyless stage's input: the source, read by the task itself; its position and watermark are the task's.
 *
 * A commit may stand within a message (*slices*, `operator/feed.ts`): what cannot be read of it comes first, a letter for each
 * part, and counts as below 0. Its records are then counted as its format gives them, before any operator has had them, so a revision with other operators goes on at the very next record; one that
 * changes the source's *format* goes on by that count, whatever the new format makes of the message.
 */
import {
  type Fed,
  type FeedLimits,
  type Journaled,
  NOTHING,
  placesOf,
  type RecordPlace,
  type Refusals,
  TAKE_BYTES_MAX,
  type TaskInput,
  TIME,
} from '../operator/feed.ts';
import { ROWS } from '../record/names.ts';
import { NO_MARK, type SourceOptions } from '../source/poll.ts';
import { Source } from '../source/source.ts';
import { sourceVoice, voiceOf } from '../topology/waits.ts';
import { NO_TIME } from '../window/source-time.ts';
import type { Voice } from '../window/watermark.ts';

/**
 * End the names under which a commit says by what a source is known again: when its stream was made, the last message of it
 * with its time, and where on the broker's clock it stands. No input's name has an `@`.
 */
const BORN = '@born';
const SEEN = '@seen';
const CLOCK = '@clock';
const QUIET = '@quiet';
/** … and what has been read of it, with all former owners. */
const RECORDS = '@records';
const BYTES = '@bytes';

export class DirectInput implements TaskInput {
  readonly name: string;
  readonly bootstrap = false;
  readonly bootstrapped = true;
  readonly voices: readonly Voice[];
  #source: Source;
  #refusals: Refusals;

  constructor(options: SourceOptions & { readonly refusals: Refusals }) {
    this.name = options.spec.name;
    this.#refusals = options.refusals;
    const source = new Source(options);
    this.#source = source;
    this.voices = [voiceOf(() => source.time, sourceVoice(source.spec))];
  }

  get source(): Source {
    return this.#source;
  }

  async open({ positions, watermarkMs }: Journaled, onReady: () => void): Promise<void> {
    const { name } = this;
    const position = positions[name];
    this.#source.recordsIn = positions[name + RECORDS] ?? 0;
    this.#source.bytesIn = positions[name + BYTES] ?? 0;
    const mark = {
      ...NO_MARK,
      bornMs: positions[name + BORN] ?? 0,
      seq: positions[name + SEEN] ?? 0,
      timeMs: positions[name + TIME] ?? 0,
    };
    const clockMs = positions[name + CLOCK] ?? NO_TIME.clockMs;
    const quietMs = positions[name + QUIET] ?? NO_TIME.quietMs;
    const rowsTaken = positions[name + ROWS] ?? 0;
    const known = { position: position ?? 0, rowsTaken, watermarkMs, clockMs, quietMs, mark };
    await this.#source.open(position === undefined ? await this.#source.firstPlace() : known, onReady);
  }

  places(): Record<string, number> {
    const { name } = this;
    const { position, row, mark, time, recordsIn, bytesIn } = this.#source;
    const known = { [name + BORN]: mark.bornMs, [name + SEEN]: mark.seq, [name + TIME]: mark.timeMs };
    const counted = { [name + RECORDS]: recordsIn, [name + BYTES]: bytesIn };
    const places = { ...known, ...counted, ...placesOf(name, position, row) };
    // While it has not spoken its clock means nothing to anybody, and would be a commit whenever it looks.
    if (time.watermarkMs === NO_TIME.watermarkMs) return places;
    return { [name + CLOCK]: time.clockMs, [name + QUIET]: time.quietMs, ...places };
  }

  get lastPlace(): RecordPlace {
    return this.#source.lastPlace;
  }

  get watermarkMs(): number {
    return this.#source.time.watermarkMs;
  }

  tick(): void {
    this.#source.tick();
  }

  feed(limits: FeedLimits): Fed {
    const before = { rows: this.#rowsIn, bytes: this.#source.bytesIn };
    const refused = this.#refusals.refused();
    const messages = this.#source.poll({
      messagesMax: limits.recordsMax,
      bytesMax: Math.min(limits.bytesMax, TAKE_BYTES_MAX),
      full: limits.full,
      withinMessages: true,
      refuses: refused === null ? null : { refused, refuse: this.#refusals.refuse },
    });
    if (messages === 0) return NOTHING;
    return {
      records: Math.max(1, this.#rowsIn - before.rows),
      bytes: this.#source.bytesIn - before.bytes,
      publishedMs: this.#source.publications.latestMs ?? Number.POSITIVE_INFINITY,
    };
  }

  get #rowsIn(): number {
    return this.#source.recordsIn + this.#source.lettersIn;
  }

  next(): RecordPlace | null {
    return this.#source.next();
  }

  committed(): void {}

  stop(): Promise<void> {
    return this.#source.stop();
  }
}
