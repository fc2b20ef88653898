/**
 * Letters, for people: listing, replaying and discarding what pipelines could not process (`letter-stream.ts` has which
 * there are).
 *
 * A replay publishes a letter's content where it may go (`replay-places.ts`), sealed, so that its source believes it, waits
 * for the broker's answer, and only then deletes the letter: broken off, it is asked for again. The message id
 * `millrace-replay-<pipeline>-<number>-<subject>` keeps what was published and not yet deleted from being there twice, as long
 * as the duplicate window of the stream lasts (two minutes unless it was set).
 *
 * Letters outlive their pipeline when that is deleted without a purge, so a stream of letters is enough to be found.
 */
import { sleep } from '../base/clock.ts';
import { MillraceError, messageOf } from '../base/errors.ts';
import { Owners } from '../cluster/owners.ts';
import type { SpecKeys } from '../cluster/spec-keys.ts';
import { isGone, isPipelineName, Specs } from '../cluster/specs.ts';
import type { Observer } from '../observe/events.ts';
import type { Registry } from '../port/registry.ts';
import { replayHeaders } from '../record/letter.ts';
import { placeOf } from '../record/letter-group.ts';
import { letterSubject, lettersStream, RESERVED_SUBJECT } from '../record/names.ts';
import { matches, overlaps } from '../record/subject.ts';
import { streamsOfSummary } from '../topology/summary.ts';
import { LETTER_KINDS, LetterStream, type LetterStreamOptions, type PlacedLetter } from './letter-stream.ts';
import { ReplayPlaces, SAY_WHERE, SUBJECT } from './replay-places.ts';
import type { DiscardProgress, LetterFilter, LetterPage, Letters, LetterView, ReplayProgress } from './views.ts';

const PAGE_MAX = 1_000;
/** Replays and discards tell how far they are, and note it, once in so many letters. */
const TELL_EVERY = 100;
const TRIES_MAX = 20;
const RETRY_MS = 250;

export interface LetterBoxOptions extends Omit<LetterStreamOptions, 'onForged'> {
  readonly observer: Observer;
  readonly registry: Registry;
  readonly keys?: SpecKeys | null;
}

export class LetterBox implements Letters {
  readonly #options: LetterBoxOptions;
  readonly #specs: Specs;
  /** By pipeline: the last message that was told to be forged. */
  readonly #toldForged = new Map<string, number>();

  constructor(options: LetterBoxOptions) {
    this.#options = options;
    this.#specs = new Specs(options.registry, options.keys ?? null);
  }

  async list(
    filter: LetterFilter,
    page: { pageSize: number; pageToken: string | null; content: boolean },
  ): Promise<LetterPage> {
    const from = page.pageToken === null ? 1 : readToken(page.pageToken);
    const pageSize = Math.min(PAGE_MAX, Math.max(1, page.pageSize));
    const extent = await this.#extent(filter.pipeline);
    if (extent === null) return { items: [], nextPageToken: null, total: 0, forged: 0 };
    const stream = this.#stream(filter.pipeline);
    const items: LetterView[] = [];
    let nextPageToken: string | null = null;
    for await (const found of letters(stream, filter, { from, through: extent.lastSeq })) {
      if (items.length === pageSize) {
        nextPageToken = String(found.number);
        break;
      }
      items.push(viewOf(found, { content: page.content, headers: false }));
    }
    return { items, nextPageToken, total: await stream.count(), forged: stream.forged };
  }

  async get(pipeline: string, number: number): Promise<LetterView> {
    const extent = await this.#extent(pipeline);
    const found = extent === null ? null : await this.#stream(pipeline).one(number);
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
    if (toSubject !== null) {
      await places.check(toSubject);
      await this.#checkUnowned(toSubject);
    }
    const progress = { seen: 0, replayed: 0, skipped: 0, total: 0, reasons: [] as string[] };
    const reasons = new Set<string>();
    let asksForPlace = false;
    const now = () => ({ ...progress, reasons: [...reasons] });
    const extent = await this.#extent(filter.pipeline);
    if (extent !== null) {
      const stream = this.#stream(filter.pipeline);
      const removals = new Removals(stream);
      const counted = (total: number) => {
        progress.total = total;
      };
      try {
        for await (const found of letters(stream, filter, { from: 1, through: extent.lastSeq, counted })) {
          progress.seen++;
          const why = found.letter.truncated ? TRUNCATED : toSubject === null ? await whyNotBack(found, places) : null;
          asksForPlace ||= why !== null && why !== TRUNCATED;
          if (why === null) {
            if (!dryRun) await this.#publish(filter.pipeline, found, toSubject);
            if (!dryRun && !keep) await removals.add(found);
            progress.replayed++;
          } else {
            progress.skipped++;
            reasons.add(why);
          }
          progress.total = Math.max(progress.total, progress.seen);
          if (progress.seen % TELL_EVERY === 0) yield now();
        }
      } finally {
        await removals.end();
      }
    }
    progress.total = progress.seen;
    if (asksForPlace && progress.replayed === 0) {
      throw new MillraceError('INVALID_ARGUMENT', ['no letter was replayed:', ...reasons].join('\n- '));
    }
    yield now();
  }

  /** Null: no letter goes back where it came from. */
  /** What one pipeline alone may write to, and counts, takes nothing from others: it would stop. */
  async #checkUnowned(subject: string): Promise<void> {
    const owned = await new Owners(this.#options.registry).read();
    const owner = owned.find(({ mode, covers }) => mode === 'owned' && overlaps(covers, subject));
    if (owner === undefined) return;
    const text = `"${subject}" is a result of pipeline ${owner.pipeline}, which alone may write there: take another subject`;
    throw new MillraceError('INVALID_ARGUMENT', text);
  }

  async #places(pipeline: string | null): Promise<ReplayPlaces> {
    const held = pipeline === null ? null : await this.#specs.get(pipeline);
    return new ReplayPlaces({ log: this.#options.log, sources: streamsOfSummary(held?.spec.summary) });
  }

  async *discard(filter: LetterFilter, { dryRun }: { dryRun: boolean }): AsyncGenerator<DiscardProgress> {
    const progress = { seen: 0, discarded: 0, total: 0 };
    const extent = await this.#extent(filter.pipeline);
    if (extent !== null) {
      const stream = this.#stream(filter.pipeline);
      const removals = new Removals(stream);
      const counted = (total: number) => {
        progress.total = total;
      };
      try {
        for await (const found of letters(stream, filter, { from: 1, through: extent.lastSeq, counted })) {
          progress.seen++;
          if (!dryRun) await removals.add(found);
          progress.discarded++;
          progress.total = Math.max(progress.total, progress.seen);
          if (progress.seen % TELL_EVERY === 0) yield { ...progress };
        }
      } finally {
        await removals.end();
      }
    }
    progress.total = progress.seen;
    yield { ...progress };
  }

  #stream(pipeline: string): LetterStream {
    return new LetterStream(pipeline, { ...this.#options, onForged: seq => this.#tellForged(pipeline, seq) });
  }

  #tellForged(pipeline: string, sequence: number): void {
    if (sequence <= (this.#toldForged.get(pipeline) ?? 0)) return;
    this.#toldForged.set(pipeline, sequence);
    const stream = lettersStream(pipeline);
    const message = `message ${sequence} of stream ${stream} was not written by a task of pipeline ${pipeline}, and is passed over. See who may publish on millrace.>, and delete it: nats stream rmm ${stream} ${sequence}`;
    this.#options.observer.emit({ event: 'letters.forged', level: 'warn', pipeline, stream, sequence, message });
  }

  /** Null: there is a pipeline, and it has no letters yet. Throws NOT_FOUND. */
  async #extent(pipeline: string): Promise<{ lastSeq: number } | null> {
    if (isPipelineName(pipeline)) {
      const info = await this.#options.log.info(lettersStream(pipeline));
      if (info !== null) return { lastSeq: info.lastSeq };
      const spec = (await this.#specs.get(pipeline))?.spec;
      if (spec !== undefined && !isGone(spec)) return null;
    }
    throw new MillraceError('NOT_FOUND', `no pipeline is named ${pipeline}, and none of that name has left letters`);
  }

  /** Resolves when the stream that keeps the subject has it. */
  async #publish(pipeline: string, found: PlacedLetter, toSubject: string | null): Promise<void> {
    const { log, clock, seal } = this.#options;
    const { number, headers: own, data, letter } = found;
    const subject = toSubject ?? letter.subject!;
    const replayed = { number, headers: own, data, content: letter.content };
    const headers = replayHeaders(replayed, { pipeline, subject, seal });
    let cause: unknown = null;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      if (tries > 0) await sleep(clock, RETRY_MS);
      const outcome = await log.append({ subject, data, headers });
      if (outcome.kind === 'landed') return;
      if (outcome.kind === 'unsure') cause = outcome.cause;
    }
    const text = `letter ${number} could not be published on ${subject}: ${messageOf(cause)}; ask for the replay again`;
    throw new MillraceError('BROKER_UNAVAILABLE', text, { cause });
  }
}

/** Letters as they are deleted: those of one message together, as one after the other comes. */
class Removals {
  readonly #stream: LetterStream;
  #waiting: PlacedLetter[] = [];

  constructor(stream: LetterStream) {
    this.#stream = stream;
  }

  async add(letter: PlacedLetter): Promise<void> {
    if (this.#waiting.length > 0 && this.#waiting[0]!.seq !== letter.seq) await this.end();
    this.#waiting.push(letter);
    if (letter.among === 1 || this.#waiting.length === TELL_EVERY) await this.end();
  }

  async end(): Promise<void> {
    const letters = this.#waiting;
    this.#waiting = [];
    if (letters.length > 0) await this.#stream.remove(letters);
  }
}

/** Letters that meet the filter, oldest first. `counted` is told about how many there are to look at. */
async function* letters(
  stream: LetterStream,
  filter: LetterFilter,
  span: { from: number; through: number; counted?: (total: number) => void },
): AsyncGenerator<PlacedLetter> {
  const { numbers } = filter;
  if (numbers.length === 0) {
    const all = stream.read({ ...span, subjects: subjectsOf(filter) });
    for await (const found of all) if (isMeant(found, filter)) yield found;
    return;
  }
  const wanted = [...new Set(numbers)].filter(number => number >= span.from && placeOf(number).seq <= span.through);
  span.counted?.(wanted.length);
  for (const number of wanted.sort((a, b) => a - b)) {
    const found = await stream.one(number);
    if (found !== null && isMeant(found, filter)) yield found;
  }
}

function subjectsOf({ pipeline, kind, operator }: LetterFilter): string[] {
  const kinds = kind === null ? LETTER_KINDS : [kind];
  return kinds.map(one => letterSubject(pipeline, { kind: one, operator: operator ?? '>' }));
}

function isMeant({ subject, timeMs, letter }: PlacedLetter, filter: LetterFilter): boolean {
  const { code, sinceMs } = filter;
  if (code !== null && letter.code !== code) return false;
  if (sinceMs !== null && timeMs < sinceMs) return false;
  return subjectsOf(filter).some(wanted => matches(wanted, subject));
}

const TRUNCATED = 'its content was cut to what a message holds';

/** Why the letter cannot be published again where it came from; null: it can. */
async function whyNotBack({ letter }: PlacedLetter, places: ReplayPlaces): Promise<string | null> {
  if (letter.kind === 'late') return `late records are as operators made them: ${SAY_WHERE}`;
  if (letter.subject === null) return `it was made by the pipeline and came from no subject: ${SAY_WHERE}`;
  if (letter.content === 'value') {
    return `its message held several records and operators had changed this one: ${SAY_WHERE}`;
  }
  return places.whyNot(letter.subject);
}

function viewOf(
  { number, timeMs, headers, data, letter }: PlacedLetter,
  shown: { content: boolean; headers: boolean },
): LetterView {
  const { kind, operator, code, message: text, subject, index, truncated } = letter;
  return {
    number,
    kind,
    operator,
    code,
    message: text,
    atMs: timeMs,
    subject,
    index,
    sizeBytes: data.length,
    truncated,
    content: shown.content ? data : null,
    headers: shown.headers ? { ...headers } : null,
  };
}

function checkSubject(subject: string): void {
  if (SUBJECT.test(subject) && !RESERVED_SUBJECT.test(subject)) return;
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
