/**
 * A step: one stateful node of a run. It hands its operator the records of a batch, at once or when it is executed, and
 * then tells it how far event time is.
 */
import type { Change } from '../change/change.ts';
import { addRecord, type Columns, changeAt, emptyColumns } from '../record/columns.ts';
import { NO_ORIGIN } from '../record/origin.ts';
import { roughBytes } from '../state/size.ts';
import type { Wants } from '../state/tables.ts';
import { trailing } from '../window/watermark.ts';
import type { Cursor } from './cursor.ts';
import type { Operator, OperatorLook } from './operator.ts';

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
  /** How many values operators have made, whatever becomes of them. */
  emitted = 0;
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
    this.emitted = 0;
  }
}

/** What a record that is held back takes beside key and value. */
const HELD_BYTES = 32;

/** One stateful node: its operator and, in a batch that does not pass, what waits for it. */
export class Step {
  readonly name: string;
  readonly operator: Operator;
  /** How far this node's watermark stays behind the stage's. */
  lagMs = 0;
  #cursor: Cursor;
  #batch: Batch;
  #ports: number[] = [];
  #held: Columns = emptyColumns();

  constructor(options: { name: string; operator: Operator; cursor: Cursor; batch: Batch }) {
    this.name = options.name;
    this.operator = options.operator;
    this.#cursor = options.cursor;
    this.#batch = options.batch;
  }

  push(port: number, key: string | null, value: unknown, timeMs: number, change: Change): void {
    if (this.#batch.passes || this.#batch.ask()) {
      this.operator.receive(port, key, value, timeMs, change);
      return;
    }
    const { origin, id, trace } = this.#cursor;
    this.#ports.push(port);
    addRecord(this.#held, key, value, timeMs, change, origin, id, trace);
    this.#batch.heldBytes += HELD_BYTES + roughBytes(value);
  }

  want(wants: Wants): void {
    const { keys, values, timesMs, ids, changes } = this.#held;
    for (let i = 0; i < keys.length; i++) {
      this.#cursor.id = ids![i]!;
      this.operator.want(wants, this.#ports[i]!, keys[i]!, values[i], timesMs[i]!, changeAt(changes, i));
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
    const { keys, values, timesMs, origins, ids, traces, changes } = this.#held;
    for (let i = 0; i < keys.length; i++) {
      cursor.origin = origins[i]!;
      cursor.id = ids![i]!;
      cursor.trace = traces === undefined ? null : (traces[i] ?? null);
      this.operator.receive(this.#ports[i]!, keys[i]!, values[i], timesMs[i]!, changeAt(changes, i));
    }
    this.#ports = [];
    this.#held = emptyColumns();
  }

  /** Its operator, as of the stage's watermark. */
  look(watermarkMs: number): OperatorLook & { readonly name: string; readonly watermarkMs: number } {
    return { name: this.name, watermarkMs: trailing(watermarkMs, this.lagMs), ...this.operator.look() };
  }

  resume(watermarkMs: number): void {
    this.operator.resume(trailing(watermarkMs, this.lagMs));
  }
}
