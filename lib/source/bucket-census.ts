/**
 * When a table's bucket is counted, and how. A row may vanish without a message: its bucket is purged, forgets by age, or
 * lost it while nobody read. So all keys of the bucket are listed, without their rows, and told to whoever keeps rows
 * (`operator/census.ts` says what becomes of that):
 *
 * - when a reader begins on what others have read before it: nobody has seen what was lost meanwhile
 * - when there are fewer messages than there were, or none is left of those: something has surely vanished
 * - when some have gone that may have been replaced, or may have vanished: nothing tells the one from the other
 *
 * The bucket's numbers are asked for once a second. A listing is not begun again before many times as long as the one before
 * it took, so that a large bucket, or one that loses rows all the time, costs its broker a small part of its time.
 *
 * A listing ends where the bucket ended, by its leader's word, while it was read: a bucket that is written to all the time has
 * no other end. It is told when the source is there too, behind all that the source had in hand before. What the source
 * passes on of messages that came while it was read counts as listed, and of older ones the listing alone knows whether
 * they are still there. So a key that is not listed was gone at some moment, and a row that is newer comes behind.
 *
 * The listing goes through the key groups in as many passes as keep memory bounded, whatever is in the bucket.
 */
import { type Clock, sleep } from '../base/clock.ts';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { KEY_GROUPS, keyGroupOf } from '../base/hash.ts';
import type { KeysByGroup } from '../operator/census.ts';
import type { Receiver } from '../operator/run.ts';
import type { Log, LogReader, StoredMessage, StreamInfo } from '../port/log.ts';
import type { GroupRange } from '../state/entry-key.ts';
import { SubjectFilter } from './filter.ts';
import { keyOfRow } from './judge.ts';
import type { SourceSpec } from './spec.ts';

const LOOK_MS = 1_000;
/** A listing in which more keys are to be expected goes through the bucket in several passes. */
const PASS_KEYS_MAX = 1 << 18;
const TAKE = { messagesMax: 8_192, bytesMax: 4 << 20 };
/** How long a listing waits for more, or for the source, where nothing says that there is any. */
const WAIT_MS = 200;
/** Listings are so many times their own length apart, and at least so long, by how sure it is that there is need of one. */
const APART = {
  vanished: { times: 10, leastMs: 0 },
  perhaps: { times: 100, leastMs: 60_000 },
} as const;

/** What of a bucket's stream tells whether something has gone from it. */
export type BucketNumbers = Pick<StreamInfo, 'firstSeq' | 'lastSeq' | 'messages'>;

/** How far the table's source is, in sequences of the bucket that is there now. */
export interface TablePlace {
  /** All up to this one has been passed on. */
  position(): number;
  /** The message that is being passed on. */
  inHand(): number;
}

/**
 * What may have become of rows between two looks at their bucket: nothing has gone; what has gone may have been replaced
 * by what came; or there is less than there was, or nothing of what there was, and something has vanished.
 */
export function lossOf(before: BucketNumbers, now: BucketNumbers): 'none' | 'perhaps' | 'vanished' {
  if (now.messages < before.messages) return 'vanished';
  if (before.messages > 0 && now.firstSeq > before.lastSeq) return 'vanished';
  const gone = before.messages + (now.lastSeq - before.lastSeq) - now.messages;
  return gone > 0 ? 'perhaps' : 'none';
}

export class BucketCensus {
  #spec: Pick<SourceSpec, 'stream' | 'subject'>;
  #log: Pick<Log, 'info' | 'read'>;
  #clock: Clock;
  #source: TablePlace;
  #onListed: (keys: KeysByGroup, groups: GroupRange) => void;
  #onFailed: (error: unknown) => void;
  #filter: SubjectFilter;
  #loss: ReturnType<typeof lossOf> = 'none';
  #numbers: BucketNumbers | null = null;
  #askedMs = Number.NEGATIVE_INFINITY;
  #isBusy = false;
  /** When the last listing began, and how long it took. */
  #listedMs: number;
  #tookMs = 0;
  /** What is being listed; null: nothing. */
  #keys: Map<number, Set<string>> | null = null;
  #groups: GroupRange = { from: 0, to: 0 };
  /** Where the bucket ended when that began. */
  #begunAt = 0;
  #reader: LogReader | null = null;
  #isStopped = false;

  constructor(options: {
    spec: Pick<SourceSpec, 'stream' | 'subject'>;
    log: Pick<Log, 'info' | 'read'>;
    clock: Clock;
    source: TablePlace;
    /** Told of all keys of these groups that the bucket has, at one moment. */
    onListed(keys: KeysByGroup, groups: GroupRange): void;
    onFailed(error: unknown): void;
  }) {
    this.#spec = options.spec;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#source = options.source;
    this.#onListed = options.onListed;
    this.#onFailed = options.onFailed;
    this.#listedMs = options.clock.monotonic();
    this.#filter = new SubjectFilter(options.spec.subject);
  }

  /** Rows may have vanished that nobody has seen go. */
  doubt(): void {
    this.#loss = 'vanished';
  }

  /** Stands before where the source's rows go, and sees them. */
  seeing(entry: Receiver): Receiver {
    return {
      receive: (key, value, timeMs, change) => {
        if (this.#keys !== null && this.#source.inHand() > this.#begunAt) this.#note(key!);
        entry.receive(key, value, timeMs, change);
      },
    };
  }

  /** Called a few times a second. */
  tick(): void {
    if (this.#isBusy || this.#isStopped) return;
    const nowMs = this.#clock.monotonic();
    if (this.#loss !== 'none') {
      const { times, leastMs } = APART[this.#loss];
      if (nowMs - this.#listedMs >= Math.max(leastMs, times * this.#tookMs)) return this.#do(() => this.#list());
    }
    if (nowMs - this.#askedMs < LOOK_MS) return;
    this.#askedMs = nowMs;
    this.#do(() => this.look());
  }

  /** That the broker does not answer, the source says, which asks it too. */
  #do(work: () => Promise<void>): void {
    this.#isBusy = true;
    work().then(
      () => {
        this.#isBusy = false;
      },
      error => {
        this.#isBusy = false;
        if (!isMillraceError(error) || error.fate !== 'retry') this.#onFailed(error);
      },
    );
  }

  /** Done before anything is read, so that whatever goes from then on is missed. */
  async look(): Promise<void> {
    const numbers = await this.#log.info(this.#spec.stream);
    if (numbers === null) return;
    const loss = this.#numbers === null ? 'none' : lossOf(this.#numbers, numbers);
    if (loss !== 'none' && this.#loss !== 'vanished') this.#loss = loss;
    this.#numbers = numbers;
  }

  /** What cannot be listed stays in doubt. */
  async #list(): Promise<void> {
    const loss = this.#loss;
    this.#tookMs = 0;
    try {
      const numbers = await this.#log.info(this.#spec.stream);
      if (numbers === null) return;
      // What vanishes from here on is in doubt again.
      this.#numbers = numbers;
      this.#loss = 'none';
      const passes = Math.ceil(numbers.messages / PASS_KEYS_MAX) || 1;
      for (let pass = 0; pass < passes && !this.#isStopped; pass++) {
        const first = (of: number) => Math.ceil((of * KEY_GROUPS) / passes);
        await this.#pass({ from: first(pass), to: first(pass + 1) });
      }
    } catch (error) {
      this.#loss = loss;
      throw error;
    } finally {
      this.#listedMs = this.#clock.monotonic();
    }
  }

  async #pass(groups: GroupRange): Promise<void> {
    const beganMs = this.#clock.monotonic();
    const keys = new Map<number, Set<string>>();
    this.#begunAt = await this.#end();
    this.#groups = groups;
    this.#keys = keys;
    const reader = this.#log.read({ stream: this.#spec.stream, from: 1, gaps: 'allow', headersOnly: true });
    this.#reader = reader;
    try {
      const readTo = await this.#read(reader, { after: 0, through: this.#begunAt });
      // What has been replaced meanwhile is there once more, further back.
      const end = await this.#read(reader, { after: readTo, through: await this.#end() });
      this.#tookMs += this.#clock.monotonic() - beganMs;
      while (!this.#isStopped && this.#source.position() < end) await sleep(this.#clock, WAIT_MS);
      if (!this.#isStopped) this.#onListed(keys, groups);
    } catch (error) {
      if (reader.error === null) throw error;
      this.#refused(reader.error);
    } finally {
      this.#keys = null;
      this.#reader = null;
      await reader.stop();
    }
  }

  /** Where the bucket ends, as its leader says. */
  async #end(): Promise<number> {
    const { stream } = this.#spec;
    const info = await this.#log.info(stream);
    if (info === null) throw new MillraceError('STREAM_MISSING', `stream ${stream} is gone`);
    return info.lastSeq;
  }

  /** Takes all through a sequence that was told, and says where that ended. Throws what ended the reader. */
  async #read(reader: LogReader, { after, through }: { after: number; through: number }): Promise<number> {
    let end = after;
    while (!this.#isStopped && end < through) {
      const messages = reader.take(TAKE);
      for (const message of messages) this.#take(message);
      if (reader.error !== null) throw reader.error;
      end = messages.at(-1)?.seq ?? end;
      if (messages.length > 0) continue;
      // The last ones that were told may be gone: then only the leader knows that no more is to come.
      const look = reader.caughtUp ? await reader.look() : null;
      if (look === null) await this.#ready(reader);
      else end = Math.max(end, look.lastSeq);
    }
    return end;
  }

  /** One that may not list says so, if only for a while: what it does not compare it does not know. */
  #refused(error: Error): void {
    this.#loss = 'vanished';
    this.#onFailed(error);
  }

  #take({ subject }: StoredMessage): void {
    if (this.#filter.takes(subject)) this.#note(keyOfRow(this.#spec.subject, subject));
  }

  #note(key: string): void {
    const group = keyGroupOf(key);
    if (group < this.#groups.from || group >= this.#groups.to) return;
    const keys = this.#keys!;
    const found = keys.get(group);
    if (found === undefined) keys.set(group, new Set([key]));
    else found.add(key);
  }

  #ready(reader: LogReader): Promise<void> {
    return new Promise(resolve => {
      const cancel = this.#clock.after(WAIT_MS, resolve);
      reader.onReady = () => {
        cancel();
        resolve();
      };
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#reader?.onReady?.();
  }
}
