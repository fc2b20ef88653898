/**
 * Stream-stream join within a time interval, all six kinds. l and r match iff they have the same key and
 * `l.time − before ≤ r.time ≤ l.time + after`, both ends inclusive.
 *
 * - inner: every matching pair, once, when its second record comes; event time is the later of the two.
 * - left, right, outer: also each record of that side (those sides) that matched nothing, exactly once, as soon as
 *   `W − grace > l.time + after` (mirrored: `r.time + before`), with its own time. No accepted record can match it then:
 *   a record is late, and takes no part, iff its time is below W − grace. So no such row is ever contradicted.
 * - semi: each left record once, when its first match comes; anti: each left record that matched nothing, when that is
 *   certain. Both with the left record's own time, since which match comes first depends on the order of arrival.
 *
 * A null key matches nothing: where its side fires unmatched records it passes at once, else it is dropped.
 * Left and right are one code (`JoinSide`); the port says which is which.
 *
 * `lagMs`, from W at the last advance: a record in hand has time ≥ W − grace, and so has every pair it makes. An
 * unmatched l fired next has l.time ≥ W − grace − after, or it would have been fired at W. A semi row's l has
 * l.time ≥ r.time − after ≥ W − grace − after. Hence grace, plus the forward reach of the sides that fire (or of the left
 * one, for semi), if that is positive. No output is older than W − lag.
 */
import { INSERT } from '../change/change.ts';
import type { Wants } from '../state/tables.ts';
import { NO_WATERMARK } from '../window/watermark.ts';
import { compareDue, DUE_MAX } from './due.ts';
import { Found, JoinSide } from './join-side.ts';
import { frozen } from './kept.ts';
import type { Operator, OperatorContext, OperatorLook } from './operator.ts';
import type { StatefulSpec } from './spec.ts';
import { checkFanOut, refusePromise } from './user-code.ts';

type JoinSpec = Extract<StatefulSpec, { kind: 'join' }>;
const LEFT = 0;

export class Join implements Operator {
  readonly lagMs: number;
  #spec: JoinSpec;
  #context: OperatorContext;
  #sides: readonly [JoinSide, JoinSide];
  #pairs: boolean;
  #watermarkMs = NO_WATERMARK;
  #horizonMs = NO_WATERMARK;
  // For the record in hand, reused.
  #range = { fromMs: 0, toMs: 0 };
  #found = new Found();

  constructor(spec: JoinSpec, context: OperatorContext) {
    const { join, beforeMs, afterMs } = spec;
    const once = join === 'semi' || join === 'anti';
    const leftFires = join === 'left' || join === 'outer' || join === 'anti';
    const rightFires = join === 'right' || join === 'outer';
    const common = { tables: context.tables, widthMs: Math.max(1, beforeMs + afterMs) };
    this.#spec = spec;
    this.#context = context;
    this.#pairs = !once;
    this.#sides = [
      new JoinSide({ ...common, name: 'left', forwardMs: afterMs, marks: leftFires || once, fires: leftFires, once }),
      new JoinSide({
        ...common,
        name: 'right',
        forwardMs: beforeMs,
        marks: rightFires,
        fires: rightFires,
        once: false,
      }),
    ];
    this.lagMs = spec.graceMs + Math.max(0, leftFires || once ? afterMs : 0, rightFires ? beforeMs : 0);
  }

  receive(port: number, key: string | null, value: unknown, timeMs: number): void {
    const context = this.#context;
    if (value === null || value === undefined) {
      context.drop('null-value');
    } else if (timeMs < this.#horizonMs) {
      const lateByMs = this.#horizonMs - timeMs;
      context.late({ key, value, timeMs, watermarkMs: this.#watermarkMs, lateByMs });
    } else if (key === null) {
      if (this.#side(port).fires) this.#emitUnmatched(port, null, value, timeMs);
      else context.drop('null-key');
    } else if (this.#pairs) {
      this.#pairUp(port, key, value, timeMs);
    } else if (port === LEFT) {
      this.#seekOne(key, value, timeMs);
    } else {
      this.#settleLefts(key, value, timeMs);
    }
  }

  /** The record in hand meets every record of the other side that it matches. */
  #pairUp(port: number, key: string, value: unknown, timeMs: number): void {
    const other = this.#side(1 - port);
    const found = this.#found;
    const range = this.#reach(port, timeMs);
    other.find(key, range, found);
    const { count } = found;
    const { combine } = this.#spec;
    frozen(value);
    try {
      checkFanOut(count, 'a record of a join');
      for (let i = 0; i < count; i++) {
        const match = frozen(found.items[i]!.v);
        const row = port === LEFT ? combine(value, match) : combine(match, value);
        refusePromise(row, 'the combine function of a join');
        found.rows[i] = row;
      }
    } catch (cause) {
      found.clear();
      this.#context.poison(cause, { key, value, timeMs });
      return;
    }
    if (other.marks && count > 0) other.markMatched(key, range, found);
    this.#side(port).add(key, { t: timeMs, v: value, m: count > 0 ? 1 : 0 });
    for (let i = 0; i < count; i++) {
      this.#context.emit(key, found.rows[i], Math.max(timeMs, found.items[i]!.t), INSERT);
    }
    found.clear();
  }

  /** Semi and anti, a left record: one match settles it for good, and it need not be kept. */
  #seekOne(key: string, value: unknown, timeMs: number): void {
    if (!this.#side(1).has(key, this.#reach(LEFT, timeMs))) {
      this.#side(LEFT).add(key, { t: timeMs, v: value, m: 0 });
    } else if (this.#spec.join === 'semi') {
      this.#emitUnmatched(LEFT, key, value, timeMs);
    }
  }

  /** Semi and anti, a right record: it settles all waiting left records that it matches. */
  #settleLefts(key: string, value: unknown, timeMs: number): void {
    const left = this.#side(LEFT);
    const found = this.#found;
    const range = this.#reach(1, timeMs);
    left.find(key, range, found);
    const { count } = found;
    const isSemi = this.#spec.join === 'semi';
    try {
      checkFanOut(count, 'a record of a join');
      for (let i = 0; isSemi && i < count; i++) {
        const row = this.#spec.combine(frozen(found.items[i]!.v), null);
        refusePromise(row, 'the combine function of a join');
        found.rows[i] = row;
      }
    } catch (cause) {
      found.clear();
      this.#context.poison(cause, { key, value, timeMs });
      return;
    }
    left.markMatched(key, range, found);
    this.#side(1).add(key, { t: timeMs, v: value, m: 0 });
    for (let i = 0; isSemi && i < count; i++) this.#context.emit(key, found.rows[i], found.items[i]!.t, INSERT);
    found.clear();
  }

  /** A record alone: what fires, what passes at once, and semi's rows, which show nothing of the right side. */
  #emitUnmatched(port: number, key: string | null, value: unknown, timeMs: number): void {
    let row: unknown;
    frozen(value);
    try {
      row = port === LEFT ? this.#spec.combine(value, null) : this.#spec.combine(null, value);
      refusePromise(row, 'the combine function of a join');
    } catch (cause) {
      this.#context.poison(cause, { key, value, timeMs });
      return;
    }
    this.#context.emit(key, row, timeMs, INSERT);
  }

  /** The times that a record of this side matches on the other one. */
  #reach(port: number, timeMs: number): { fromMs: number; toMs: number } {
    const { beforeMs, afterMs } = this.#spec;
    this.#range.fromMs = timeMs - (port === LEFT ? beforeMs : afterMs);
    this.#range.toMs = timeMs + (port === LEFT ? afterMs : beforeMs);
    return this.#range;
  }

  #side(port: number): JoinSide {
    return port === LEFT ? this.#sides[0] : this.#sides[1];
  }

  advance(watermarkMs: number): boolean {
    const [left, right] = this.#sides;
    this.#setWatermark(watermarkMs);
    left.forgetFired();
    right.forgetFired();
    left.queueDue(this.#horizonMs);
    right.queueDue(this.#horizonMs);
    for (let taken = 0; ; taken++) {
      const isFull = taken >= DUE_MAX || this.#context.full();
      const leftDue = isFull ? left.peekOverdue() : left.peekDue();
      const rightDue = isFull ? right.peekOverdue() : right.peekDue();
      const isRight = rightDue !== undefined && (leftDue === undefined || compareDue(rightDue, leftDue) < 0);
      const next = isRight ? rightDue : leftDue;
      if (next === undefined) break;
      const port = isRight ? 1 : LEFT;
      const item = this.#side(port).takeDue();
      if (item !== undefined) this.#emitUnmatched(port, next.key, item.v, next.timeMs);
    }
    if (left.peekDue() !== undefined || right.peekDue() !== undefined) return false;
    left.dropUseless();
    right.dropUseless();
    return true;
  }

  hold(): void {
    for (const side of this.#sides) side.markFired();
  }

  resume(watermarkMs: number): void {
    this.#setWatermark(watermarkMs);
    for (const side of this.#sides) side.resume(this.#horizonMs);
  }

  #setWatermark(watermarkMs: number): void {
    this.#watermarkMs = watermarkMs;
    this.#horizonMs = watermarkMs - this.#spec.graceMs;
  }

  /** Where a side fires, what it waits with is what people wait for; what it only keeps is of no interest then. */
  look(): OperatorLook {
    const fires = this.#sides.filter(side => side.fires);
    const looks = (fires.length > 0 ? fires : this.#sides).map(side => side.look());
    const nextMs = Math.min(...looks.map(look => look.nextMs ?? Number.POSITIVE_INFINITY)) + this.#spec.graceMs;
    return {
      unit: fires.length > 0 ? 'unmatched' : 'records',
      held: looks.reduce((sum, look) => sum + look.held, 0),
      ...(looks.some(look => look.more) ? { more: true } : {}),
      nextMs: Number.isFinite(nextMs) ? nextMs : null,
    };
  }

  want(wants: Wants, port: number, key: string | null, value: unknown, timeMs: number): void {
    if (key === null || value === null || value === undefined || timeMs < this.#horizonMs) return;
    this.#side(port).wantAt(wants, key, timeMs);
    this.#side(1 - port).wantRange(wants, key, this.#reach(port, timeMs));
  }

  wantAdvance(wants: Wants, watermarkMs: number): void {
    for (const side of this.#sides) side.wantDue(wants, watermarkMs - this.#spec.graceMs);
  }
}
