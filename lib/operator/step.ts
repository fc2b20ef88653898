/**
 * A step: one stateful node of a run. It hands its operator the records of a batch, at once or when it is executed, and
 * then tells it how far event time is.
 */
import { NO_ORIGIN } from '../record/origin.ts';
import { roughBytes } from '../state/size.ts';
import type { Wants } from '../state/tables.ts';
import { trailing } from '../window/watermark.ts';
import type { Cursor } from './cursor.ts';
import type { Operator } from './operator.ts';

/**
 * Whether the steps of a run hold records back in the batch in hand. Asked once a batch, at its first record or when it is
 * executed, and the answer stays for all steps until the batch ends: what one step's prefetch brings into memory must
 * not let another overtake the records that it has been holding.
 */
export class Batch {
  /** Records pass. False as long as nobody has asked. */
  passes = false;
  /** About how much the steps hold back. */
  heldBytes = 0;
  #asked = false;
  #resident: () => boolean;

  constructor(resident: () => boolean) {
    this.#resident = resident;
  }

  ask(): boolean {
    if (!this.#asked) {
      this.#asked = true;
      this.passes = this.#resident();
    }
    return this.passes;
  }

  end(): void {
    this.#asked = false;
    this.passes = false;
    this.heldBytes = 0;
  }
}

/** What a record that is held back takes beside key and value. */
const HELD_BYTES = 32;

/** One stateful node: its operator and, in a batch that does not pass, what waits for it. */
export class Step {
  readonly operator: Operator;
  /** How far this node's watermark stays behind the stage's. */
  lagMs = 0;
  #cursor: Cursor;
  #batch: Batch;
  #ports: number[] = [];
  #keys: (string | null)[] = [];
  #values: unknown[] = [];
  #timesMs: number[] = [];
  #origins: number[] = [];
  #ids: (string | null)[] = [];
  /** With holes; null: none of them has one. */
  #traces: (string | null)[] | null = null;

  constructor(options: { operator: Operator; cursor: Cursor; batch: Batch }) {
    this.operator = options.operator;
    this.#cursor = options.cursor;
    this.#batch = options.batch;
  }

  push(port: number, key: string | null, value: unknown, timeMs: number): void {
    if (this.#batch.passes || this.#batch.ask()) {
      this.operator.receive(port, key, value, timeMs);
      return;
    }
    this.#ports.push(port);
    this.#keys.push(key);
    this.#values.push(value);
    this.#timesMs.push(timeMs);
    this.#origins.push(this.#cursor.origin);
    this.#ids.push(this.#cursor.id);
    this.#batch.heldBytes += HELD_BYTES + roughBytes(value);
    if (this.#cursor.trace !== null) (this.#traces ??= [])[this.#ports.length - 1] = this.#cursor.trace;
  }

  want(wants: Wants): void {
    for (let i = 0; i < this.#ports.length; i++) {
      this.#cursor.id = this.#ids[i]!;
      this.operator.want(wants, this.#ports[i]!, this.#keys[i]!, this.#values[i], this.#timesMs[i]!);
    }
    this.#cursor.id = null;
  }

  wantAdvance(wants: Wants, watermarkMs: number): void {
    this.operator.wantAdvance(wants, trailing(watermarkMs, this.lagMs));
  }

  /** Hands the operator what was held back. */
  pass(): void {
    if (this.#ports.length > 0) this.#passHeld();
  }

  /** False: the batch is full, and the operator has more to fire. */
  advance(watermarkMs: number): boolean {
    const cursor = this.#cursor;
    cursor.origin = NO_ORIGIN;
    cursor.id = null;
    cursor.trace = null;
    return this.operator.advance(trailing(watermarkMs, this.lagMs));
  }

  /** See `Operator`. */
  hold(): void {
    this.operator.hold();
  }

  #passHeld(): void {
    const cursor = this.#cursor;
    const traces = this.#traces;
    for (let i = 0; i < this.#ports.length; i++) {
      cursor.origin = this.#origins[i]!;
      cursor.id = this.#ids[i]!;
      cursor.trace = traces === null ? null : (traces[i] ?? null);
      this.operator.receive(this.#ports[i]!, this.#keys[i]!, this.#values[i], this.#timesMs[i]!);
    }
    this.#ports = [];
    this.#keys = [];
    this.#values = [];
    this.#timesMs = [];
    this.#origins = [];
    this.#ids = [];
    this.#traces = null;
  }

  resume(watermarkMs: number): void {
    this.operator.resume(trailing(watermarkMs, this.lagMs));
  }
}
