/**
 * What a task is fed, and how far event time is by it. Of several inputs the one that is furthest behind in event time goes
 * first, so that a join holds no more of one side than it has to wait for of the other.
 */
import type { FeedLimits, Journaled, RecordPlace, TaskInput } from '../operator/feed.ts';
import { InputWatermarks, type Voice } from '../window/watermark.ts';

export interface NextRecord {
  readonly input: TaskInput;
  readonly place: RecordPlace;
}

export class Feeding {
  readonly inputs: readonly TaskInput[];
  /** Who has a say in event time: tables have none. */
  #voices: readonly Voice[];
  /** Records that were passed on. */
  records = 0;
  /** How far event time is on the inputs. */
  dueMs = Number.NEGATIVE_INFINITY;
  /** The record that was fed last to the batch in hand; null: none was. */
  last: { readonly input: string; readonly place: RecordPlace } | null = null;
  #eventTime: InputWatermarks;
  /** Publish time of the oldest source message since it was asked for; Infinity: unknown. */
  #publishedMs = Number.POSITIVE_INFINITY;

  constructor(inputs: readonly TaskInput[]) {
    this.inputs = inputs;
    this.#voices = inputs.filter(input => !input.bootstrap).flatMap(input => input.voices);
    this.#eventTime = new InputWatermarks({ voices: this.#voices });
  }

  /** Event time goes on from here. */
  resume(watermarkMs: number): void {
    this.dueMs = watermarkMs;
    this.#eventTime = new InputWatermarks({ voices: this.#voices, watermarkMs });
  }

  /** Opens all inputs after what is journaled. True: there is one of which the journal does not know yet where it begins. */
  async open(journaled: Journaled, onReady: () => void): Promise<boolean> {
    for (const input of this.inputs) await input.open(journaled, onReady);
    return this.inputs.some(({ name }) => !(name in journaled.positions));
  }

  /** The source or stage that event time waits for, when others are further; null: none in particular. */
  get waitsFor(): Voice | null {
    return this.#eventTime.waitsFor;
  }

  /** What the next stages are told of the silence here. */
  get silence(): { readonly clockMs: number; readonly isSilent: boolean } {
    const { clockMs, isSilent } = this.#eventTime;
    return { clockMs, isSilent };
  }

  /** Nobody has anything to say, nor had for as long as was declared. */
  get isIdle(): boolean {
    return this.#voices.every(({ quietMs, idleAfterMs }) => quietMs >= idleAfterMs);
  }

  /** Passes on what has arrived, always from the input whose event time is behind. False: there was nothing. */
  feed({ recordsMax, bytesMax, full }: FeedLimits): boolean {
    const booting = this.inputs.filter(input => input.bootstrap && !input.bootstrapped);
    const open = [...(booting.length > 0 ? booting : this.inputs)];
    let records = 0;
    let bytes = 0;
    while (open.length > 0 && records < recordsMax && bytes < bytesMax) {
      let behind = 0;
      for (let i = 1; i < open.length; i++) if (open[i]!.watermarkMs < open[behind]!.watermarkMs) behind = i;
      const input = open[behind]!;
      const fed = input.feed({ recordsMax: recordsMax - records, bytesMax: bytesMax - bytes, full });
      if (fed.records > 0) this.last = { input: input.name, place: input.lastPlace };
      if (fed.bytes === 0 && fed.records === 0) open.splice(behind, 1);
      records += fed.records;
      bytes += fed.bytes;
      if (fed.publishedMs < this.#publishedMs) this.#publishedMs = fed.publishedMs;
      if (full()) break;
    }
    this.records += records;
    return bytes > 0 || records > 0;
  }

  /** The record that would be fed first; null: none has arrived. */
  next(): NextRecord | null {
    const booting = this.inputs.filter(input => input.bootstrap && !input.bootstrapped);
    let first: NextRecord | null = null;
    for (const input of booting.length > 0 ? booting : this.inputs) {
      const place = input.next();
      if (place !== null && (first === null || input.watermarkMs < first.input.watermarkMs)) first = { input, place };
    }
    return first;
  }

  /** Passes on that one, and nothing else. */
  feedOne({ input }: NextRecord): void {
    const { records, publishedMs } = input.feed({ recordsMax: 1, bytesMax: 1, full: () => true });
    if (records > 0) this.last = { input: input.name, place: input.lastPlace };
    this.records += records;
    if (publishedMs < this.#publishedMs) this.#publishedMs = publishedMs;
  }

  /** By what the inputs have read. True: event time has moved. */
  moveWatermark(): boolean {
    const watermarkMs = Math.floor(this.#eventTime.advance());
    if (!(watermarkMs > this.dueMs)) return false;
    this.dueMs = watermarkMs;
    return true;
  }

  takePublishedMs(): number {
    const publishedMs = this.#publishedMs;
    this.#publishedMs = Number.POSITIVE_INFINITY;
    return publishedMs;
  }

  /** How far all inputs have been read. */
  positions(): Record<string, number> {
    return Object.assign({}, ...this.inputs.map(input => input.places()));
  }

  /** Called a few times a second. */
  tick(): void {
    for (const input of this.inputs) input.tick();
  }

  committed(positions: Readonly<Record<string, number>>): void {
    for (const input of this.inputs) input.committed(positions);
  }

  async stop(): Promise<void> {
    await Promise.all(this.inputs.map(input => input.stop()));
  }
}
