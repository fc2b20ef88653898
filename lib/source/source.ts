/**
 * The source: from messages of a stream to records with key, value and event time. Synchronous: `poll` takes what has
 * arrived, decodes it and passes it on; whoever owns the source decides when.
 *
 * How far event time is (`window/source-time.ts`) is a function of the stream's messages up to `position`, and of what
 * the broker has answered since: a source that is resumed at a position with the place in time of that position goes on
 * as if it had never stopped. While there is nothing to read it asks the broker, some twice a second, whether that is so.
 *
 * A message without content whose header `Millrace-Complete` names a time, or says `end`, is a *heartbeat*: up to then
 * its sender has said everything.
 *
 * A record that cannot be read, is invalid, or has no usable time becomes a letter; the rest of its message goes on.
 */
import { isMillraceError, MillraceError, messageOf } from '../base/errors.ts';
import { placedMessageOf } from '../base/place.ts';
import { type Change, INSERT } from '../change/change.ts';
import { type RecordPlace, WHOLE } from '../operator/feed.ts';
import type { LogReader, StoredMessage, StreamInfo, StreamLook } from '../port/log.ts';
import { copiedBy } from '../port/stream-config.ts';
import type { Letter } from '../record/letter.ts';
import { NO_ORIGIN, originOf } from '../record/origin.ts';
import { covers, hasWildcard } from '../record/subject.ts';
import { traceOf } from '../record/trace.ts';
import { isoTimeMs } from '../window/iso-time.ts';
import { NO_TIME, type SourcePlaceInTime, SourceTime } from '../window/source-time.ts';
import { SubjectFilter } from './filter.ts';
import { completeMsOf } from './heartbeat.ts';
import { InHand, type LetterAbout, type UnreadPart } from './in-hand.ts';
import { isTombstone, judgedChange, judgedTime, judgedValue, keyOfRow, timeAgain } from './judge.ts';
import { Looks } from './looks.ts';
import { infoOf } from './place.ts';
import {
  NO_MARK,
  type PollLimits,
  type SourceLog,
  type SourceOptions,
  type SourcePlace,
  type SourceTarget,
  type StreamMark,
} from './poll.ts';
import { Publications } from './publications.ts';
import { Replays } from './replays.ts';
import type { SourceSpec } from './spec.ts';
import { goOn } from './succession.ts';

export class Source {
  readonly spec: SourceSpec;
  #options: SourceOptions;
  #log: SourceLog;
  #target: SourceTarget;
  #reader: LogReader | null = null;
  /** The server delivers what matches, and nothing else. */
  #byServer = false;
  #filter: SubjectFilter;
  #position = 0;
  #mark = { ...NO_MARK };
  #time: SourceTime;
  #looks: Looks;
  #onReady: () => void = () => {};
  /**
   * What of the message after `#position` has been passed on, which is held while this is not 0: so many records, behind all that
   * cannot be read of it, or, below 0, so much of what cannot be.
   */
  #row = 0;
  #last = { seq: 0, row: 0 };
  /** The latest event time of the message in hand: it counts when all of the message is in. */
  #latestMs = Number.NEGATIVE_INFINITY;
  #bootstrapped = false;
  /** Taken and not passed on yet: what they hold, decompressed, was more than one poll should bring. */
  #rest: readonly StoredMessage[] = [];
  #inHand: InHand;
  #replays: Replays;
  readonly publications = new Publications();
  recordsIn = 0;
  /** Letters, of messages that could not be read and of records that were refused here. */
  lettersIn = 0;
  bytesIn = 0;

  constructor(options: SourceOptions) {
    this.spec = options.spec;
    this.#options = options;
    this.#log = options.log;
    this.#target = options.target;
    this.#inHand = new InHand(options.spec.decoder, options.log.messageBytesMax);
    this.#replays = new Replays(options);
    this.#filter = new SubjectFilter(options.spec.subject);
    this.#time = new SourceTime(options.spec, NO_TIME);
    this.#looks = new Looks({ clock: options.clock, idleAfterMs: options.spec.idleAfterMs });
  }

  /** Where a source that has never run starts. */
  async firstPlace(): Promise<SourcePlace> {
    const position = this.spec.start === 'first' ? 0 : (await infoOf(this.spec, this.#log)).lastSeq;
    return { position, mark: NO_MARK, ...NO_TIME };
  }

  async open(place: SourcePlace, onReady: () => void): Promise<void> {
    const info = await infoOf(this.spec, this.#log);
    const found = await goOn(this.spec, place, { info, log: this.#log });
    this.#log = found.log;
    this.openOn(info, found.place, onReady);
  }

  /** As `open`, for who knows the stream. */
  openOn(info: StreamInfo, place: SourcePlace, onReady: () => void): void {
    const { stream, subject } = this.spec;
    this.#mark = { ...place.mark, bornMs: isoTimeMs(info.created) };
    // A wildcard costs the server thirty times what it costs us. A stream that has only what we want, as far as it says
    // now, is read whole; whether each message is ours is seen here all the same, for it may be given other subjects.
    const isShared = copiedBy(info.config).length > 0 || !info.subjects.every(own => covers(subject, own));
    this.#byServer = isShared && !hasWildcard(subject);
    this.#position = place.position;
    this.#row = place.rowsTaken ?? 0;
    this.#time = new SourceTime(this.spec, place);
    this.#looks.stir();
    this.#onReady = onReady;
    const subjects = this.#byServer ? { subjects: [subject] } : {};
    // What was published and is gone unread cannot be told to be another's: then we say so and stop, rather than go on
    // with what is left. A look moves our position past what is another's, so this asks only for what came since.
    const gaps = this.spec.kind === 'kv' ? 'allow' : 'refuse';
    this.#reader = this.#log.read({ stream, from: place.position + 1, gaps, ...subjects });
    this.#reader.onReady = onReady;
  }

  /**
   * Called a few times a second by whoever owns it. Asks the broker whether everything has been read, when nothing has
   * come for a while; where the server filters also meanwhile, whether something is missing.
   */
  tick(): void {
    const reader = this.#reader;
    if (reader === null || !(this.#byServer || this.#caughtUp)) return;
    const onAnswer = () => {
      if (this.#reader === reader && this.#takeLook()) this.#onReady();
    };
    this.#looks.ask(reader, { onAnswer, atOnce: !this.#bootstrapped });
  }

  /** As `tick`, for who knows where the stream ends, and need not ask. */
  looked(look: StreamLook): void {
    this.#looks.answer(look);
    this.#takeLook();
  }

  #takeLook(): boolean {
    const look = this.#looks.take(this.#rest[0]?.seq ?? Number.POSITIVE_INFINITY);
    if (look === null) return false;
    this.#bootstrapped = true;
    this.#time.looked(look.clockMs);
    if (look.lastSeq > this.#position) this.#position = look.lastSeq;
    return true;
  }

  get position(): number {
    return this.#position;
  }

  get row(): number {
    return this.#row;
  }

  /** The record that was passed on last. */
  get lastPlace(): { readonly seq: number; readonly row: number } {
    return this.#last;
  }

  /** By what the stream up to `position` is known again. */
  get mark(): StreamMark {
    return this.#mark;
  }

  /** Event time at `position`. */
  get time(): SourcePlaceInTime {
    return this.#time;
  }

  /** Messages left to read, as the broker last said: 0 at the end of the stream, null while that is not known. */
  get lag(): number | null {
    if (this.#reader === null) return null;
    if (this.#caughtUp) return 0;
    return this.#reader.left === null ? null : this.#reader.left + this.#rest.length;
  }

  /** How long ago the next unread message was published, ms: 0 at the end of the stream, null while that is not known. */
  get lagMs(): number | null {
    if (this.#reader === null) return null;
    if (this.#caughtUp) return 0;
    // Where none has arrived yet, the one before it is the nearest that is known.
    const timeMs = this.#rest[0]?.timeMs ?? this.#reader.nextTimeMs ?? this.#mark.timeMs;
    return timeMs === 0 ? null : Math.max(0, this.#options.clock.now() - timeMs);
  }

  get #caughtUp(): boolean {
    return this.#reader?.caughtUp === true && this.#rest.length === 0;
  }

  /** When the broker was last asked, everything had been read, and nothing had come for `idleAfterMs`. */
  get idle(): boolean {
    return this.#time.quietMs >= this.spec.idleAfterMs;
  }

  /** The end of the stream has been reached once, by the word of its leader: a replica that is behind knows an earlier one. */
  get bootstrapped(): boolean {
    return this.#bootstrapped;
  }

  /** Where the next record stands; null: none has arrived. */
  next(): RecordPlace | null {
    if (this.#rest.length === 0) this.#rest = this.#reader?.take({ messagesMax: 1, bytesMax: 1 }) ?? [];
    const message = this.#rest[0];
    return message === undefined ? null : { seq: message.seq, row: this.#row <= 0 ? WHOLE : this.#row };
  }

  /**
   * Passes on what has arrived, until it is more than `bytesMax` as the records have it. Returns the number of messages,
   * one that is passed on in part among them; 0: nothing was there. Throws what ended the reader.
   */
  poll(limits: PollLimits): number {
    const reader = this.#reader;
    if (reader === null) return 0;
    const messages = this.#rest.length > 0 ? this.#rest : reader.take(limits);
    if (messages.length === 0) {
      if (reader.error !== null) throw reader.error;
      return 0;
    }
    this.#looks.stir();
    const before = { records: this.recordsIn, bytes: this.bytesIn };
    this.publications.note(messages[0]!);
    const { through = Number.POSITIVE_INFINITY } = limits;
    let passed = 0;
    while (passed < messages.length && this.bytesIn - before.bytes <= limits.bytesMax) {
      if (passed > 0 && limits.full?.() === true) break;
      const message = messages[passed]!;
      if (message.seq > through) {
        this.#position = Math.max(this.#position, through);
        break;
      }
      if (this.#byServer || this.#filter.takes(message.subject)) this.#pass(message, limits);
      else this.#row = 0;
      if (this.#row !== 0) break;
      this.#position = message.seq;
      passed++;
    }
    if (passed > 0) this.#passed(messages[passed - 1]!);
    this.#rest = messages.slice(passed);
    this.#takeLook();
    Object.assign(this.#target.cursor, { origin: NO_ORIGIN, id: null, trace: null });
    this.#inHand.lay({ isDone: this.#row === 0 });
    this.#options.meter.read(this.spec.name, {
      records: this.recordsIn - before.records,
      bytes: this.bytesIn - before.bytes,
    });
    return Math.max(1, passed);
  }

  #passed({ seq, timeMs }: StoredMessage): void {
    Object.assign(this.#mark, { seq, timeMs });
    // Those of others say, too, that until then there was no more of ours.
    this.#time.looked(timeMs);
  }

  /** Passes on the records of a message that have not been. Leaves `#row` at 0 when none is left. */
  #pass(stored: StoredMessage, limits: PollLimits): void {
    const from = this.#row;
    this.#row = 0;
    this.#target.cursor.origin = originOf(this.#options.index, stored.seq);
    this.#target.cursor.id = this.#replays.of(stored);
    const trace = traceOf(stored.headers);
    this.#target.cursor.trace = trace;
    if (trace !== null) this.#target.traced?.(trace);
    const refused = from > 0 ? null : limits.refuses?.refused({ seq: stored.seq, row: WHOLE });
    if (refused) return this.#refuseWhole(stored, refused);
    const message = this.#inHand.take(stored);
    if (from === 0) this.bytesIn += message.data.length;
    if (this.spec.kind === 'kv') this.#passRow(message, limits);
    else if (message.data.length === 0 && this.#isHeartbeat(message)) return;
    else this.#passValues(message, from, limits);
    if (this.#row !== 0) return;
    if (this.#latestMs !== Number.NEGATIVE_INFINITY) this.#time.record(this.#latestMs, message.timeMs);
    this.#latestMs = Number.NEGATIVE_INFINITY;
    // The records have been there first, so that it is their time that says when they were published.
    this.#time.published(message.timeMs);
  }

  /** What is in it is not looked at. */
  #refuseWhole(stored: StoredMessage, why: MillraceError): void {
    this.bytesIn += stored.data.length;
    this.#inHand.hold(stored);
    this.#reject(why.code, why, stored.data);
    this.#time.published(stored.timeMs);
  }

  #passValues(message: StoredMessage, from: number, limits: PollLimits): void {
    const inHand = this.#inHand;
    const isBegun = inHand.read();
    const { values, unread } = inHand;
    // Who has taken records of this message has had its letters before them: if it is read as it was.
    const isAsBefore = from <= values.length;
    for (let i = from > 0 && isAsBefore ? unread.length : Math.max(0, -from); i < unread.length; i++) {
      this.#rejectPart(unread[i]!);
      if (!this.#isCut(limits, i + 1 < unread.length || values.length > 0)) continue;
      this.#row = -i - 1;
      return;
    }
    for (let i = isBegun && from > 0 ? from : 0; i < values.length; i++) {
      inHand.part = i;
      // After a restart, what was passed on before it has a say in the watermark, and in nothing else.
      if (i < from) {
        this.#latestMs = Math.max(this.#latestMs, timeAgain(this.spec, message, values[i]));
        continue;
      }
      this.#accept(message, null, values[i], limits);
      if (!this.#isCut(limits, i + 1 < values.length)) continue;
      this.#row = i + 1;
      return;
    }
  }

  /** Whether the batch ends here, within a message. */
  #isCut({ withinMessages, full }: PollLimits, isMore: boolean): boolean {
    return isMore && withinMessages === true && full!();
  }

  #isHeartbeat(message: StoredMessage): boolean {
    this.#time.published(message.timeMs);
    try {
      const completeMs = completeMsOf(message.headers);
      if (completeMs === null) return false;
      this.#time.complete(completeMs);
      this.#target.drop('heartbeat');
    } catch (cause) {
      this.#reject('RECORD_TIME', cause, message.data);
    }
    return true;
  }

  /** A key-value bucket's message: the subject's end is the key. A tombstone is a null: the table's join knows it by that. */
  #passRow(message: StoredMessage, limits: PollLimits): void {
    const key = keyOfRow(this.spec.subject, message.subject);
    if (isTombstone(message)) {
      this.recordsIn++;
      this.#target.entry.receive(key, null, message.timeMs, INSERT);
      return;
    }
    this.#inHand.read();
    const { values, unread } = this.#inHand;
    for (const part of unread) this.#rejectPart(part);
    if (values.length > 0) this.#accept(message, key, values[values.length - 1], limits);
  }

  #accept(message: StoredMessage, key: string | null, decoded: unknown, { refuses }: PollLimits): void {
    let value: unknown;
    let timeMs: number;
    let change: Change;
    try {
      value = judgedValue(this.spec, message, decoded);
      timeMs = judgedTime(this.spec, message, value);
      change = judgedChange(this.spec, message, value);
    } catch (cause) {
      if (isMillraceError(cause)) return this.#reject(cause.code, cause, null);
      return this.#reject('USER_CODE', new Error(placedMessageOf(cause), { cause }), null);
    }
    if (timeMs > this.#latestMs) this.#latestMs = timeMs;
    this.recordsIn++;
    this.#last.seq = message.seq;
    this.#last.row = this.#inHand.part;
    const why = refuses?.refused(this.#last);
    if (why) refuses!.refuse(why, value, change);
    else this.#target.entry.receive(key, value, timeMs, change);
  }

  #rejectPart({ index, code, why, bytes }: UnreadPart): void {
    this.#inHand.part = index;
    this.#reject(code, why, bytes);
  }

  #reject(code: string, cause: unknown, bytes: Uint8Array | null): void {
    const { onPoison, name } = this.spec;
    if (onPoison === 'skip') return this.#target.drop('skipped');
    this.lettersIn++;
    const letter = this.letter({ operator: name, code, message: messageOf(cause), bytes });
    if (onPoison === 'deadLetter') return this.#target.letter(letter);
    const where = `message ${this.#inHand.message?.seq} of ${this.spec.stream}`;
    const text = `source ${name} stops at its first bad record, as its onPoison says: ${where}: ${letter.message}`;
    throw new MillraceError('LIMIT_REACHED', text, { cause });
  }

  /** A letter about the record in hand. */
  letter(about: LetterAbout): Letter {
    return this.#inHand.letter(about, this.#target.cursor.origin);
  }

  async stop(): Promise<void> {
    const reader = this.#reader;
    this.#reader = null;
    if (reader !== null) {
      reader.onReady = null;
      await reader.stop();
    }
  }
}
