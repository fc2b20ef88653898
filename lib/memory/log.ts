/**
 * A whole broker in memory, with faults: the log port of the simulator. Owns what a client can know and when: answers
 * that get lost, appends that land late, delays, outages. What a stream keeps is `stream.ts`.
 *
 * Several clients share one broker. Without faults and delays everything happens at once and no timer is set; with
 * them, all waiting goes through the clocks, so a seed is a history. What a client has sent lives on without it: its
 * appends may land after it was killed.
 */
import type { Clock } from '../base/clock.ts';
import { invariant, MillraceError } from '../base/errors.ts';
import { Random } from '../base/random.ts';
import type {
  Append,
  Log,
  LogReader,
  NewMessage,
  ReadOptions,
  StoredMessage,
  StreamInfo,
  StreamSettings,
} from '../port/log.ts';
import { overlaps } from '../record/subject.ts';
import { ProcessClock } from './clock.ts';
import { LATE_MS, type MemoryFaults, type Span, UNSURE_MS } from './faults.ts';
import { MemoryReader, type Sight } from './reader.ts';
import { answerOf, checkSize, copyOf, MemoryStream } from './stream.ts';

export interface MemoryBrokerOptions {
  readonly clock: Clock;
  /** Needed for faults and delays. */
  readonly random?: Random;
  readonly faults?: MemoryFaults;
  /** Default 1 MiB. */
  readonly messageBytesMax?: number;
}

const BATCH_MESSAGES_MAX = 1_000;
const ALL_AT_ONCE_MAX = 1_000;
/** Keeps one client's messages in order when their delays would have them arrive together. */
const BEHIND_MS = 1e-6;

export class MemoryBroker {
  readonly clock: Clock;
  readonly random: Random;
  readonly messageBytesMax: number;
  /** May be replaced at any time, e.g. to let a world come to rest. */
  faults: MemoryFaults;
  readonly #streams = new Map<string, MemoryStream>();
  readonly #home = new Map<string, MemoryStream>();
  #online = true;
  #births = 0;
  #batches = 0;
  /** Batches of which a part was stored. */
  brokenOff = 0;
  /** Times that it was restored: what was on its way then never lands. */
  restores = 0;

  constructor(options: MemoryBrokerOptions) {
    this.clock = options.clock;
    this.random = options.random ?? new Random(1);
    this.faults = options.faults ?? {};
    this.messageBytesMax = options.messageBytesMax ?? 1024 * 1024;
  }

  /** A connection of its own, with a process clock of its own unless one is given. */
  client(name: string, options: { clock?: ProcessClock } = {}): MemoryLog {
    return new MemoryLog(this, name, options.clock ?? new ProcessClock(this.clock));
  }

  get online(): boolean {
    return this.#online;
  }

  /** Offline nothing lands and no question is answered; what is kept, stays. */
  set online(online: boolean) {
    this.#online = online;
    if (online) for (const stream of this.#streams.values()) stream.tell();
  }

  stream(name: string): MemoryStream | null {
    return this.#streams.get(name) ?? null;
  }

  streams(): readonly MemoryStream[] {
    return [...this.#streams.values()];
  }

  /** The stream that keeps the subject; throws STREAM_MISSING. */
  home(subject: string): MemoryStream {
    let stream = this.#home.get(subject);
    if (stream === undefined) {
      stream = this.streams().find(candidate => candidate.keeps(subject));
      if (stream === undefined) throw new MillraceError('STREAM_MISSING', `no stream keeps the subject ${subject}`);
      this.#home.set(subject, stream);
    }
    return stream;
  }

  create(settings: StreamSettings): boolean {
    if (this.#streams.has(settings.name)) return false;
    for (const other of this.#streams.values()) {
      if (settings.subjects.some(a => other.settings.subjects.some(b => overlaps(a, b)))) {
        throw new MillraceError('BROKER_REFUSED', `${settings.name}: subjects overlap with ${other.settings.name}`);
      }
    }
    // Two births in the same millisecond are still two.
    const created = `${new Date(this.clock.now()).toISOString().slice(0, -1)}${String(++this.#births).padStart(6, '0')}Z`;
    this.#streams.set(settings.name, new MemoryStream(settings, created));
    return true;
  }

  remove(name: string): void {
    const stream = this.#streams.get(name);
    if (stream === undefined) return;
    this.#streams.delete(name);
    this.#home.clear();
    stream.deleted = true;
    stream.tell();
  }

  /** What the broker does with an append when it arrives. Throws like the port. */
  land(messages: readonly NewMessage[], atomic: boolean): Append {
    const first = messages[0]!;
    const stream = this.home(first.subject);
    stream.check(messages);
    if (!atomic) return answerOf(stream.append(first, this.clock.now()), stream);
    for (const { subject } of messages) {
      invariant(this.home(subject) === stream, `an atomic batch into two streams: ${first.subject} and ${subject}`);
    }
    if (stream.settings.atomic !== true) {
      throw new MillraceError('BROKER_REFUSED', `stream ${stream.settings.name} does not allow atomic batches`);
    }
    const id = `b${++this.#batches}`;
    const breaksOff = this.random.chance(this.faults.prefixBatch ?? 0);
    const upTo = breaksOff ? this.random.int(messages.length) : messages.length;
    const landing = stream.appendBatch(messages, { id, nowMs: this.clock.now(), upTo });
    if (landing.kind === 'brokenOff' && upTo > 0) this.brokenOff++;
    return answerOf(landing, stream);
  }
}

export class MemoryLog implements Log {
  readonly name: string;
  readonly clock: ProcessClock;
  readonly #broker: MemoryBroker;
  #lastArrivalMs = 0;
  #cutOff = false;

  constructor(broker: MemoryBroker, name: string, clock: ProcessClock) {
    this.#broker = broker;
    this.name = name;
    this.clock = clock;
  }

  get messageBytesMax(): number {
    return this.#broker.messageBytesMax;
  }

  messageBytesMaxOf(stream: string): number {
    return Math.min(this.messageBytesMax, this.#broker.stream(stream)?.messageBytesMax ?? Number.POSITIVE_INFINITY);
  }

  /** The process ends here and now. What it sent may still land. */
  kill(): void {
    this.clock.kill();
  }

  freeze(): void {
    this.clock.freeze();
  }

  thaw(): void {
    this.clock.thaw();
  }

  /** Nothing of this client's reaches the broker, nor the other way; both go on without each other. */
  cutOff(): void {
    this.#cutOff = true;
  }

  reconnect(): void {
    this.#cutOff = false;
  }

  async append(message: NewMessage): Promise<Append> {
    checkSize(message, this.messageBytesMax);
    const sent = copyOf(message);
    return this.#calm ? this.#broker.land([sent], false) : this.#send([sent], false);
  }

  async appendBatch(messages: readonly NewMessage[]): Promise<Append> {
    invariant(messages.length > 0 && messages.length <= BATCH_MESSAGES_MAX, `an atomic batch of ${messages.length}`);
    const seen = new Set<string>();
    for (const message of messages) {
      const { subject, expect } = message;
      invariant(expect === undefined || !seen.has(subject), `the fence of ${subject} is not on its first message`);
      seen.add(subject);
      checkSize(message, this.messageBytesMax);
    }
    const sent = messages.map(copyOf);
    return this.#calm ? this.#broker.land(sent, true) : this.#send(sent, true);
  }

  async appendAll(messages: readonly NewMessage[]): Promise<void> {
    for (let start = 0; start < messages.length; start += ALL_AT_ONCE_MAX) {
      let rest = messages.slice(start, start + ALL_AT_ONCE_MAX);
      while (rest.length > 0) {
        const outcomes = await Promise.all(rest.map(message => this.append(message)));
        rest = rest.filter((_, i) => outcomes[i]!.kind !== 'landed');
      }
    }
  }

  last({ stream, subject }: { stream: string; subject: string }): Promise<StoredMessage | null> {
    return this.#ask(() => {
      const kept = this.#existing(stream);
      const stale = this.#broker.random.chance(this.#broker.faults.staleLast ?? 0);
      return (stale ? kept.lastOf(subject, 1) : null) ?? kept.lastOf(subject);
    });
  }

  get({ stream, seq }: { stream: string; seq: number }): Promise<StoredMessage | null> {
    return this.#ask(() => this.#existing(stream).at(seq));
  }

  read(options: ReadOptions): LogReader {
    const broker = this.#broker;
    const sight: Sight = {
      stream: name => broker.stream(name),
      soon: look => {
        const { readDelayMs } = broker.faults;
        const lookOnline = () => {
          if (this.#online) look();
          else broker.clock.after(UNSURE_MS[0], lookOnline);
        };
        if (readDelayMs === undefined && !this.clock.frozen && !this.clock.dead) queueMicrotask(lookOnline);
        else this.clock.after(readDelayMs === undefined ? 0 : broker.random.between(...readDelayMs), lookOnline);
      },
      cut: available =>
        broker.random.chance(broker.faults.partialRead ?? 0) ? 1 + broker.random.int(available) : available,
      again: () => broker.random.chance(broker.faults.idleWake ?? 0),
      end: name =>
        this.#ask(() => {
          const stream = this.#existing(name);
          const staleMs = this.#draw(broker.faults.staleLookMs);
          const clockMs = broker.clock.now();
          return { stream, clockMs, lastSeq: staleMs === 0 ? stream.lastSeq : stream.lastSeqAt(clockMs - staleMs) };
        }),
    };
    return new MemoryReader(sight, options);
  }

  trim({ stream, subject, before }: { stream: string; subject: string; before: number }): Promise<void> {
    return this.#ask(() => this.#existing(stream).trim(subject, before));
  }

  remove({ stream, seq }: { stream: string; seq: number }): Promise<boolean> {
    return this.#ask(() => this.#existing(stream).remove(seq));
  }

  count({ stream, subject }: { stream: string; subject: string }): Promise<number> {
    return this.#ask(() => this.#existing(stream).count(subject));
  }

  streamsOf(subject: string): Promise<string[]> {
    return this.#ask(() => {
      const found = this.#broker
        .streams()
        .filter(({ settings }) => settings.subjects.some(own => overlaps(own, subject)));
      return found.map(({ settings }) => settings.name).sort();
    });
  }

  info(stream: string): Promise<StreamInfo | null> {
    return this.#ask(() => {
      const kept = this.#broker.stream(stream);
      kept?.expire(this.#broker.clock.now());
      return kept?.info() ?? null;
    });
  }

  ensureStream(settings: StreamSettings): Promise<boolean> {
    return this.#ask(() => this.#broker.create(settings));
  }

  deleteStream(stream: string): Promise<void> {
    return this.#ask(() => this.#broker.remove(stream));
  }

  /** Nothing can go wrong or take time: no need for clocks. */
  get #calm(): boolean {
    const { faults } = this.#broker;
    return (
      this.#online &&
      !this.clock.frozen &&
      !this.clock.dead &&
      faults.delayMs === undefined &&
      faults.lostAck === undefined &&
      faults.notLanded === undefined &&
      faults.lateLanding === undefined
    );
  }

  get #online(): boolean {
    return this.#broker.online && !this.#cutOff;
  }

  #existing(name: string): MemoryStream {
    const stream = this.#broker.stream(name);
    if (stream === null) throw new MillraceError('STREAM_MISSING', `there is no stream ${name}`);
    stream.expire(this.#broker.clock.now());
    return stream;
  }

  /** One try, with whatever the dice make of it. A killed client's promise is never settled. */
  #send(messages: readonly NewMessage[], atomic: boolean): Promise<Append> {
    const { random, faults, clock, restores } = this.#broker;
    const dice = random.next();
    const lost = faults.lostAck ?? 0;
    const dropped = lost + (faults.notLanded ?? 0);
    const late = dropped + (faults.lateLanding ?? 0);
    return new Promise((resolve, reject) => {
      if (this.clock.dead) return;
      const giveUp = () => {
        const cause = new Error(`no answer for ${messages[0]!.subject}`);
        this.clock.after(this.#draw(faults.unsureMs ?? UNSURE_MS), () => resolve({ kind: 'unsure', cause }));
      };
      if (dice >= dropped && dice < late && !this.#cutOff) {
        giveUp();
        const delayMs = this.#draw(faults.delayMs) + random.next() * (faults.lateMs ?? LATE_MS);
        clock.after(delayMs, () => this.#broker.restores === restores && this.#landUnheard(messages, atomic));
        return;
      }
      if (dice >= lost && dice < dropped) return giveUp();
      clock.after(this.#travelMs(), () => {
        if (!this.#online) {
          giveUp();
          return;
        }
        if (dice < lost) {
          giveUp();
          this.#landUnheard(messages, atomic);
          return;
        }
        try {
          const outcome = this.#broker.land(messages, atomic);
          this.clock.after(this.#draw(faults.delayMs), () => resolve(outcome));
        } catch (error) {
          this.clock.after(this.#draw(faults.delayMs), () => reject(error));
        }
      });
    });
  }

  #landUnheard(messages: readonly NewMessage[], atomic: boolean): void {
    if (!this.#broker.online) return;
    try {
      this.#broker.land(messages, atomic);
    } catch (error) {
      if (!(error instanceof MillraceError) || error.fate === 'fatal') throw error; // a refusal that nobody hears
    }
  }

  #ask<T>(answer: () => T): Promise<T> {
    const { faults, random, clock } = this.#broker;
    if (this.#online && faults.delayMs === undefined && faults.questionFails === undefined && !this.clock.frozen) {
      return this.clock.dead ? new Promise(() => undefined) : new Promise(resolve => resolve(answer()));
    }
    return new Promise((resolve, reject) => {
      if (this.clock.dead) return;
      const fails = random.chance(faults.questionFails ?? 0);
      clock.after(this.#travelMs(), () => {
        if (fails || !this.#online) {
          const error = new MillraceError('BROKER_UNAVAILABLE', 'the broker does not answer');
          this.clock.after(this.#draw(faults.unsureMs ?? UNSURE_MS), () => reject(error));
          return;
        }
        try {
          const value = answer();
          this.clock.after(this.#draw(faults.delayMs), () => resolve(value));
        } catch (error) {
          this.clock.after(this.#draw(faults.delayMs), () => reject(error));
        }
      });
    });
  }

  /** Until what is sent now arrives; what one client sends arrives in order. */
  #travelMs(): number {
    const nowMs = this.#broker.clock.monotonic();
    const arrivalMs = Math.max(nowMs + this.#draw(this.#broker.faults.delayMs), this.#lastArrivalMs + BEHIND_MS);
    this.#lastArrivalMs = arrivalMs;
    return arrivalMs - nowMs;
  }

  #draw(span: Span | undefined): number {
    return span === undefined ? 0 : this.#broker.random.between(...span);
  }
}
