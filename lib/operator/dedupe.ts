/**
 * Deduplicate: a record is a duplicate iff an accepted record of the same key and id lies within `withinMs` of its event
 * time, both ends inclusive. An id is one of its key: two keys may be in one task or in two, and that must not decide.
 *
 * State: table `marks`, an entry for each accepted record, key = key and id, bucket = ⌊time / withinMs⌋. Two accepted records of
 * an id are more than `withinMs` apart, so a bucket holds at most one mark of an id, and every mark that can make a
 * record a duplicate is in its bucket or a neighbouring one. A mark is the event time it was accepted with; with `keep:
 * 'last'` it becomes `[accepted, latest]` once a later copy has gone out.
 *
 * A mark is dropped when no record that may still be judged is near enough: at W − grace − within. A record older than
 * W − grace whose mark is not found cannot be judged, since its mark may have been dropped: it is late.
 *
 * `keep: 'last'` makes the output an upsert by id: a copy whose event time is not before the latest one sent goes out
 * too (so of equal times the later arrival wins); older copies are dropped. Copies never move a mark: what is a copy
 * of what depends on accepted records alone.
 *
 * A replayed letter whose record this operator had let pass (`record/replay.ts`) passes again, whatever its id and
 * time: no copy of it ever will.
 *
 * `lagMs` is 0: records pass in the order they come, no later in relation to the watermark than they came.
 */
import { MillraceError } from '../base/errors.ts';
import { INSERT } from '../change/change.ts';
import { writeMark } from '../state/entry-key.ts';
import type { Tables, ValueTable, Wants } from '../state/tables.ts';
import { NO_WATERMARK } from '../window/watermark.ts';
import type { Operator, OperatorContext, OperatorLook } from './operator.ts';
import type { StatefulSpec } from './spec.ts';
import { refusePromise, shown } from './user-code.ts';

type DedupeSpec = Extract<StatefulSpec, { kind: 'dedupe' }>;
type Mark = number | [acceptedMs: number, latestMs: number];

export class Dedupe implements Operator {
  readonly lagMs = 0;
  #spec: DedupeSpec;
  #context: OperatorContext;
  #marks: ValueTable<Mark>;
  #widthMs: number;
  #horizonMs = NO_WATERMARK;
  #watermarkMs = NO_WATERMARK;
  /** No mark is in a later bucket: in-order records need not look there. */
  #lastBucket = Number.NEGATIVE_INFINITY;

  constructor(spec: DedupeSpec, context: OperatorContext) {
    this.#spec = spec;
    this.#context = context;
    this.#marks = openMarks(spec, context.tables);
    this.#widthMs = Math.max(1, spec.withinMs);
  }

  receive(_port: number, key: string | null, value: unknown, timeMs: number): void {
    const context = this.#context;
    if (value === null || value === undefined) {
      context.drop('null-value');
      return;
    }
    if (context.hasPassed()) {
      context.emit(key, value, timeMs, INSERT);
      return;
    }
    let id: string;
    try {
      id = this.#markOf(key, value);
    } catch (cause) {
      context.poison(cause, { key, value, timeMs });
      return;
    }
    const bucket = Math.floor(timeMs / this.#widthMs);
    if (this.#spec.keep === 'last') {
      if (this.#foundAndUpdated(bucket, id, key, value, timeMs)) return;
    } else if (this.#isMarked(bucket, id, timeMs)) {
      context.drop('duplicate');
      return;
    }
    if (timeMs < this.#horizonMs) {
      context.late({
        key,
        value,
        timeMs,
        watermarkMs: this.#watermarkMs,
        lateByMs: this.#horizonMs - timeMs,
      });
      return;
    }
    this.#marks.set(bucket, id, timeMs);
    if (bucket > this.#lastBucket) this.#lastBucket = bucket;
    context.emit(key, value, timeMs, INSERT);
  }

  /** What the record is marked by: its key and id. A stage that is keyed by the id itself needs no more than that. */
  #markOf(key: string | null, value: unknown): string {
    const id = this.#idOf(value);
    return writeMark(key, id);
  }

  #idOf(value: unknown): string {
    const { id } = this.#spec;
    const given: unknown = id === null ? this.#context.carriedId() : id(value);
    if (typeof given === 'string') return given;
    refusePromise(given, 'the id function of dedupe');
    throw new MillraceError('RECORD_INVALID', `the record has no id to deduplicate by: got ${shown(given)}`);
  }

  #isMarked(bucket: number, id: string, timeMs: number): boolean {
    return (
      this.#isNear(this.#marks.get(bucket, id), timeMs) ||
      this.#isNear(this.#marks.get(bucket - 1, id), timeMs) ||
      (bucket < this.#lastBucket && this.#isNear(this.#marks.get(bucket + 1, id), timeMs))
    );
  }

  #isNear(mark: Mark | undefined, timeMs: number): boolean {
    if (mark === undefined) return false;
    const acceptedMs = typeof mark === 'number' ? mark : mark[0];
    return Math.abs(acceptedMs - timeMs) <= this.#spec.withinMs;
  }

  /** For `keep: 'last'`: false when the record is no copy. Two marks may be near: the later copy sent counts. */
  #foundAndUpdated(bucket: number, id: string, key: string | null, value: unknown, timeMs: number): boolean {
    let found: Mark | undefined;
    let foundBucket = bucket;
    for (let b = bucket - 1; b <= bucket + 1; b++) {
      const mark = this.#marks.get(b, id);
      if (!this.#isNear(mark, timeMs)) continue;
      if (found !== undefined && latestOf(found) >= latestOf(mark!)) continue;
      found = mark!;
      foundBucket = b;
    }
    if (found === undefined) return false;
    if (timeMs < latestOf(found)) {
      this.#context.drop('duplicate');
      return true;
    }
    const acceptedMs = typeof found === 'number' ? found : found[0];
    this.#marks.set(foundBucket, id, [acceptedMs, timeMs]);
    this.#context.emit(key, value, timeMs, INSERT);
    return true;
  }

  advance(watermarkMs: number): boolean {
    this.#setWatermark(watermarkMs);
    const uselessMs = this.#horizonMs - this.#spec.withinMs;
    for (const bucket of this.#marks.bucketsBelow(Math.floor(uselessMs / this.#widthMs))) this.#marks.drop(bucket);
    return true;
  }

  hold(): void {}

  resume(watermarkMs: number): void {
    this.#setWatermark(watermarkMs);
    this.#lastBucket = this.#marks.bucketsBelow(Number.POSITIVE_INFINITY).at(-1) ?? Number.NEGATIVE_INFINITY;
  }

  #setWatermark(watermarkMs: number): void {
    this.#watermarkMs = watermarkMs;
    this.#horizonMs = watermarkMs - this.#spec.graceMs;
  }

  look(): OperatorLook {
    return { unit: 'ids', held: this.#marks.size, nextMs: null };
  }

  want(wants: Wants, _port: number, key: string | null, value: unknown, timeMs: number): void {
    if (value === null || value === undefined || this.#context.hasPassed()) return;
    let id: string;
    try {
      id = this.#markOf(key, value);
    } catch {
      // It will throw again in `receive`, which says so; nothing is looked up before.
      return;
    }
    const bucket = Math.floor(timeMs / this.#widthMs);
    wants.key(this.#marks, bucket, id);
    wants.key(this.#marks, bucket - 1, id);
    wants.key(this.#marks, bucket + 1, id);
  }

  wantAdvance(): void {}
}

/** Numbers alone where copies do not go out: there may be very many of them. */
function openMarks({ keep }: DedupeSpec, tables: Tables): ValueTable<Mark> {
  return keep === 'last' ? tables.values<Mark>('marks') : (tables.numbers('marks') as ValueTable<Mark>);
}

function latestOf(mark: Mark): number {
  return typeof mark === 'number' ? mark : mark[1];
}
