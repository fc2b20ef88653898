/**
 * Letters, for people: listing, replaying and discarding what pipelines could not process. It reads the stream of letters
 * by sequence and deletes single messages of it; the markers in the same stream, on which exactly-once rests, are of other
 * subjects and never touched. A letter's own subject has no fence, so nothing depends on what was last on it.
 *
 * A replay publishes a letter's content where it may go (`replay-places.ts`), waits for the broker's answer, and only then deletes the letter: broken off, it
 * is asked for again. The message id `millrace-replay-<pipeline>-<number>-<subject>` keeps what was published and not yet deleted
 * from being there twice, as long as the duplicate window of the stream lasts (two minutes unless it was set).
 *
 * Letters outlive their pipeline when that is deleted without a purge, so a stream of letters is enough to be found.
 */
import { type Clock, sleep } from '../base/clock.ts';
import { MillraceError, messageOf } from '../base/errors.ts';
import type { SpecKeys } from '../cluster/spec-keys.ts';
import { isGone, isPipelineName, Specs } from '../cluster/specs.ts';
import type { Page } from '../engine/views.ts';
import type { Log, StoredMessage } from '../port/log.ts';
import type { Registry } from '../port/registry.ts';
import { type ReadLetter, readLetter, replayHeaders } from '../record/letter.ts';
import { letterSubject, lettersStream, RESERVED_SUBJECT } from '../record/names.ts';
import { matches } from '../record/subject.ts';
import { streamsOfSummary } from '../topology/summary.ts';
import { ReplayPlaces, SAY_WHERE } from './replay-places.ts';
import type { DiscardProgress, LetterFilter, LetterKind, Letters, LetterView, ReplayProgress } from './views.ts';

const PAGE_MAX = 1_000;
const TAKE = { messagesMax: 256, bytesMax: 1 << 20 };
/** How long the broker may say nothing. */
const PATIENCE_MS = 20_000;
/** Replays tell how far they are once in so many letters. */
const TELL_EVERY = 100;
const TRIES_MAX = 20;
const RETRY_MS = 250;

interface Numbered {
  readonly message: StoredMessage;
  readonly letter: ReadLetter;
}

export class LetterBox implements Letters {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #specs: Specs;

  constructor(options: { log: Log; clock: Clock; registry: Registry; keys?: SpecKeys | null }) {
    this.#log = options.log;
    this.#clock = options.clock;
    this.#specs = new Specs(options.registry, options.keys ?? null);
  }

  async list(
    filter: LetterFilter,
    page: { pageSize: number; pageToken: string | null; content: boolean },
  ): Promise<Page<LetterView> & { readonly total: number }> {
    const from = page.pageToken === null ? 1 : readToken(page.pageToken);
    const pageSize = Math.min(PAGE_MAX, Math.max(1, page.pageSize));
    const extent = await this.#extent(filter.pipeline);
    if (extent === null) return { items: [], nextPageToken: null, total: 0 };
    const items: LetterView[] = [];
    let nextPageToken: string | null = null;
    for await (const found of this.#read(filter, { from, through: extent.lastSeq })) {
      if (items.length === pageSize) {
        nextPageToken = String(found.message.seq);
        break;
      }
      items.push(viewOf(found, { content: page.content, headers: false }));
    }
    return { items, nextPageToken, total: await this.#count(filter.pipeline) };
  }

  async get(pipeline: string, number: number): Promise<LetterView> {
    const extent = await this.#extent(pipeline);
    const found = extent === null ? null : await this.#one(pipeline, number);
    if (found !== null) return viewOf(found, { content: true, headers: true });
    const text = `pipeline ${pipeline} has no letter ${number}; see those it has with: millrace letters list ${pipeline}`;
    throw new MillraceError('NOT_FOUND', text);
  }

  async *replay(
    filter: LetterFilter,
    options: { toSubject: string | null; dryRun: boolean; keep: boolean },
  ): AsyncGenerator<ReplayProgress> {
    const { toSubject, dryRun, keep } = options;
    if (toSubject !== null) checkSubject(toSubject);
    const places = await this.#places(toSubject === null ? filter.pipeline : null);
    if (toSubject !== null) await places.check(toSubject);
    const progress = { seen: 0, replayed: 0, skipped: 0, total: 0, reasons: [] as string[] };
    const reasons = new Set<string>();
    let asksForPlace = false;
    const now = () => ({ ...progress, reasons: [...reasons] });
    const extent = await this.#extent(filter.pipeline);
    if (extent !== null) {
      const counted = (total: number) => {
        progress.total = total;
      };
      for await (const found of this.#read(filter, { from: 1, through: extent.lastSeq, counted })) {
        progress.seen++;
        const why = found.letter.truncated ? TRUNCATED : toSubject === null ? await whyNotBack(found, places) : null;
        asksForPlace ||= why !== null && why !== TRUNCATED;
        if (why === null) {
          if (!dryRun) await this.#publish(filter.pipeline, found, toSubject);
          if (!dryRun && !keep) await this.#remove(filter.pipeline, found);
          progress.replayed++;
        } else {
          progress.skipped++;
          reasons.add(why);
        }
        progress.total = Math.max(progress.total, progress.seen);
        if (progress.seen % TELL_EVERY === 0) yield now();
      }
    }
    progress.total = progress.seen;
    if (asksForPlace && progress.replayed === 0) {
      throw new MillraceError('INVALID_ARGUMENT', ['no letter was replayed:', ...reasons].join('\n- '));
    }
    yield now();
  }

  /** Null: no letter goes back where it came from. */
  async #places(pipeline: string | null): Promise<ReplayPlaces> {
    const held = pipeline === null ? null : await this.#specs.get(pipeline);
    return new ReplayPlaces({ log: this.#log, sources: streamsOfSummary(held?.spec.summary) });
  }

  async *discard(filter: LetterFilter, { dryRun }: { dryRun: boolean }): AsyncGenerator<DiscardProgress> {
    const progress = { seen: 0, discarded: 0, total: 0 };
    const extent = await this.#extent(filter.pipeline);
    if (extent !== null) {
      const counted = (total: number) => {
        progress.total = total;
      };
      for await (const found of this.#read(filter, { from: 1, through: extent.lastSeq, counted })) {
        progress.seen++;
        if (!dryRun) await this.#remove(filter.pipeline, found);
        progress.discarded++;
        progress.total = Math.max(progress.total, progress.seen);
        if (progress.seen % TELL_EVERY === 0) yield { ...progress };
      }
    }
    progress.total = progress.seen;
    yield { ...progress };
  }

  /** Null: there is a pipeline, and it has no letters yet. Throws NOT_FOUND. */
  async #extent(pipeline: string): Promise<{ lastSeq: number } | null> {
    if (isPipelineName(pipeline)) {
      const info = await this.#log.info(lettersStream(pipeline));
      if (info !== null) return { lastSeq: info.lastSeq };
      const spec = (await this.#specs.get(pipeline))?.spec;
      if (spec !== undefined && !isGone(spec)) return null;
    }
    throw new MillraceError('NOT_FOUND', `no pipeline is named ${pipeline}, and none of that name has left letters`);
  }

  /** Letters that meet the filter, oldest first. `counted` is told about how many there are to look at. */
  async *#read(
    filter: LetterFilter,
    span: { from: number; through: number; counted?: (total: number) => void },
  ): AsyncGenerator<Numbered> {
    const { pipeline, numbers } = filter;
    const meets = (found: Numbered | null): found is Numbered => found !== null && isMeant(found, filter);
    if (numbers.length > 0) {
      const wanted = [...new Set(numbers)].filter(number => number >= span.from && number <= span.through);
      span.counted?.(wanted.length);
      for (const number of wanted.sort((a, b) => a - b)) {
        const found = await this.#one(pipeline, number);
        if (meets(found)) yield found;
      }
      return;
    }
    const subjects = subjectsOf(filter);
    for await (const message of this.#messages(pipeline, { ...span, subjects })) {
      const letter = readLetter(message);
      const found = letter === null ? null : { message, letter };
      if (meets(found)) yield found;
    }
  }

  async *#messages(
    pipeline: string,
    span: { from: number; through: number; subjects: readonly string[]; counted?: (total: number) => void },
  ): AsyncGenerator<StoredMessage> {
    const stream = lettersStream(pipeline);
    const reader = this.#log.read({ stream, subjects: span.subjects, from: span.from, gaps: 'allow' });
    let toldCount = false;
    try {
      for (;;) {
        // A reader that opens at a message which is gone by now has no more to say than one at the end.
        const left = reader.left;
        const messages = reader.take(TAKE);
        if (!toldCount && left !== null) {
          span.counted?.(left);
          toldCount = true;
        }
        for (const message of messages) {
          if (message.seq > span.through) return;
          yield message;
        }
        if (messages.length > 0) continue;
        if (reader.error !== null) throw reader.error;
        if (reader.caughtUp) return;
        await this.#ready(reader);
      }
    } finally {
      await reader.stop();
    }
  }

  /** Waits until the reader may have something. Throws BROKER_UNAVAILABLE when it is silent for too long. */
  #ready(reader: { onReady: (() => void) | null }): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(PATIENCE_MS, () => {
        reader.onReady = null;
        reject(new MillraceError('BROKER_UNAVAILABLE', 'the broker does not send the letters; try again'));
      });
      reader.onReady = () => {
        reader.onReady = null;
        cancel();
        resolve();
      };
    });
  }

  /** How many there are, of all kinds and operators. */
  async #count(pipeline: string): Promise<number> {
    const subjects = [...KINDS.map(kind => letterSubject(pipeline, { kind, operator: '>' }))];
    let total = 0;
    for (const subject of subjects) total += await this.#log.count({ stream: lettersStream(pipeline), subject });
    return total;
  }

  async #one(pipeline: string, number: number): Promise<Numbered | null> {
    if (!Number.isSafeInteger(number)) return null;
    const message = await this.#log.get({ stream: lettersStream(pipeline), seq: number });
    const letter = message === null ? null : readLetter(message);
    return message === null || letter === null ? null : { message, letter };
  }

  /** Resolves when the stream that keeps the subject has it. */
  async #publish(pipeline: string, { message, letter }: Numbered, toSubject: string | null): Promise<void> {
    const subject = toSubject ?? letter.subject!;
    const { data } = message;
    const headers = replayHeaders(pipeline, message, subject);
    let cause: unknown = null;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      if (tries > 0) await sleep(this.#clock, RETRY_MS);
      const outcome = await this.#log.append({ subject, data, headers });
      if (outcome.kind === 'landed') return;
      if (outcome.kind === 'unsure') cause = outcome.cause;
    }
    const text = `letter ${message.seq} could not be published on ${subject}: ${messageOf(cause)}; ask for the replay again`;
    throw new MillraceError('BROKER_UNAVAILABLE', text, { cause });
  }

  async #remove(pipeline: string, { message }: Numbered): Promise<void> {
    await this.#log.remove({ stream: lettersStream(pipeline), seq: message.seq });
  }
}

const KINDS: readonly LetterKind[] = ['dead', 'late'];

function subjectsOf({ pipeline, kind, operator }: LetterFilter): string[] {
  return (kind === null ? KINDS : [kind]).map(one => letterSubject(pipeline, { kind: one, operator: operator ?? '>' }));
}

function isMeant({ message, letter }: Numbered, filter: LetterFilter): boolean {
  const { code, sinceMs } = filter;
  if (code !== null && letter.code !== code) return false;
  if (sinceMs !== null && message.timeMs < sinceMs) return false;
  return subjectsOf(filter).some(subject => matches(subject, message.subject));
}

const TRUNCATED = 'its content was cut to what a message holds';

/** Why the letter cannot be published again where it came from; null: it can. */
async function whyNotBack({ letter }: Numbered, places: ReplayPlaces): Promise<string | null> {
  if (letter.kind === 'late') return `late records are as operators made them: ${SAY_WHERE}`;
  if (letter.subject === null) return `it was made by the pipeline and came from no subject: ${SAY_WHERE}`;
  if (letter.content === 'value') {
    return `its message held several records and operators had changed this one: ${SAY_WHERE}`;
  }
  return places.whyNot(letter.subject);
}

function viewOf({ message, letter }: Numbered, shown: { content: boolean; headers: boolean }): LetterView {
  const { kind, operator, code, message: text, subject, index, truncated } = letter;
  return {
    number: message.seq,
    kind,
    operator,
    code,
    message: text,
    atMs: message.timeMs,
    subject,
    index,
    sizeBytes: message.data.length,
    truncated,
    content: shown.content ? message.data : null,
    headers: shown.headers ? { ...message.headers } : null,
  };
}

function checkSubject(subject: string): void {
  if (/^[^\s.*>]+(\.[^\s.*>]+)*$/.test(subject) && !RESERVED_SUBJECT.test(subject)) return;
  const isReserved = RESERVED_SUBJECT.test(subject);
  const why = isReserved ? "it is Millrace's own, or the broker's" : 'tokens joined by dots, no wildcards';
  throw new MillraceError('INVALID_ARGUMENT', `"${subject}" is no subject to publish on: ${why}`);
}

function readToken(token: string): number {
  const from = Number(token);
  if (/^\d{1,15}$/.test(token) && from > 0) return from;
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `the page token "${token}" is not from a list of letters; begin without one`,
  );
}
