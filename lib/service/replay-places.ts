/**
 * Where a letter's content may be published again. A record is a message among others only where its stream keeps them all:
 * where a subject has its last message alone, as a row of a bucket has, an old record would take the place of what has come
 * since, and nothing would say so. And a letter goes back only to what the pipeline itself reads: what its headers say is
 * not obeyed beyond that. Anything else a person must say.
 */
import { MillraceError } from '../base/errors.ts';
import type { Log } from '../port/log.ts';
import { RESERVED_SUBJECT } from '../record/names.ts';
import { matches } from '../record/subject.ts';
import type { SourceSummary } from '../topology/summary.ts';

export const SAY_WHERE = 'say where to with a subject (--to, to_subject)';

/** What can be published on: tokens joined by dots, no wildcards. */
export const SUBJECT = /^[^\s.*>]+(\.[^\s.*>]+)*$/;

export class ReplayPlaces {
  readonly #log: Pick<Log, 'info' | 'streamsOf'>;
  readonly #sources: readonly Pick<SourceSummary, 'subject' | 'stream'>[];
  /** By stream: how many messages of a subject it keeps; null: all. */
  readonly #kept = new Map<string, number | null>();
  /** The streams of the subject that was asked for last: letters of one often come one after another. */
  #last: { readonly subject: string; readonly streams: readonly string[] } | null = null;

  /** @param options.sources those of the pipeline as it was deployed last, without tables */
  constructor(options: {
    log: Pick<Log, 'info' | 'streamsOf'>;
    sources: readonly Pick<SourceSummary, 'subject' | 'stream'>[];
  }) {
    this.#log = options.log;
    this.#sources = options.sources;
  }

  /** Why what came from the subject does not go back there; null: it does. */
  async whyNot(subject: string): Promise<string | null> {
    if (!SUBJECT.test(subject) || (RESERVED_SUBJECT.test(subject) && !subject.startsWith('$KV.'))) {
      return `what it says of the subject it came from is none that a record comes from: ${SAY_WHERE}`;
    }
    if (subject.startsWith('$KV.')) {
      return `it is a row of a bucket, and would be put over the row that is there by now: mend that one, or ${SAY_WHERE}`;
    }
    const source = this.#sources.find(({ subject: filter }) => matches(filter, subject));
    if (source === undefined) return `the pipeline has no source now that reads the subject it came from: ${SAY_WHERE}`;
    const streams = await this.#streamsOf(subject);
    if (streams.length === 0) return `no stream keeps "${subject}" now: ${SAY_WHERE}`;
    // What is read may be a mirror of what is published on, and either of them the one that keeps few.
    for (const stream of new Set([source.stream, ...streams])) {
      const kept = await this.#keptBy(stream);
      if (kept !== null) return `${compactedText(stream, kept)}: ${SAY_WHERE}`;
    }
    return null;
  }

  /** Throws INVALID_ARGUMENT for a subject on which nothing may be published again. */
  async check(subject: string): Promise<void> {
    const streams = await this.#streamsOf(subject);
    if (streams.length === 0) {
      throw new MillraceError('INVALID_ARGUMENT', `no stream keeps "${subject}": make one, or take another subject`);
    }
    for (const stream of streams) {
      const kept = await this.#keptBy(stream);
      if (kept === null) continue;
      throw new MillraceError('INVALID_ARGUMENT', `"${subject}": ${compactedText(stream, kept)}. Take another subject`);
    }
  }

  async #streamsOf(subject: string): Promise<readonly string[]> {
    if (this.#last?.subject !== subject) this.#last = { subject, streams: await this.#log.streamsOf(subject) };
    return this.#last.streams;
  }

  async #keptBy(stream: string): Promise<number | null> {
    const known = this.#kept.get(stream);
    if (known !== undefined) return known;
    const kept = (await this.#log.info(stream))?.config.maxMsgsPerSubject ?? null;
    this.#kept.set(stream, kept);
    return kept;
  }
}

function compactedText(stream: string, kept: number): string {
  const what = kept === 1 ? 'only the last message' : `only the last ${kept} messages`;
  return `stream ${stream} keeps ${what} of a subject, so an old record would be put over what has come since`;
}
