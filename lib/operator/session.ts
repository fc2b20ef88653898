/**
 * Session windows: records of a key that are at most `gapMs` apart share a session, whatever the order they come in; a
 * record between two sessions makes them one.
 *
 * State: list table `sessions`, one entry a key (`session-list.ts`); table `timers`, the moment when the first of them must
 * be looked at.
 *
 * A record at exactly `last + gap` still joins, so a session ends after that moment, and closes when
 * `W − grace > last + gap`, strictly. What is late follows from "a record is late for a window that has closed":
 * - one that would join a closed session is late. So that this is known, a closed session leaves its two ends behind
 *   until no acceptable record can come near: until `W − grace > last + 2·gap`.
 * - one whose own window `[time, time + gap]` has closed is late, unless it falls inside an open session: nothing closed
 *   can be near it there, while before the first record of one something closed and forgotten could be.
 * Therefore what went out is exactly the sessions of the accepted records.
 *
 * A result has `startMs` = time of the first record, `endMs` and event time = time of the last one. `emit: 'updates'`
 * sends each session that a batch changed, once per batch; when sessions become one the result takes the earliest
 * start, and rows sent before under the later starts are void (they are never sent as final).
 *
 * `lagMs` is gap + grace: a session that was open at W has last ≥ W − grace − gap.
 */
import { MillraceError } from '../base/errors.ts';
import { INSERT } from '../change/change.ts';
import type { Wants } from '../state/tables.ts';
import { NO_WATERMARK } from '../window/watermark.ts';
import { Fold, mergesAll, type Row } from './fold.ts';
import { LOOK_ENTRIES_MAX, type Operator, type OperatorContext, type OperatorLook } from './operator.ts';
import { type Session, SessionList } from './session-list.ts';
import { Timers } from './timers.ts';
import { keyless, refusePromise } from './user-code.ts';
import type { WindowOperatorSpec } from './window.ts';

/** Slots of the timer table that a gap and grace are cut into: few enough to be cheap, small enough to load at once. */
const SLOTS = 16;

export class SessionAggregate implements Operator {
  readonly lagMs: number;
  #spec: WindowOperatorSpec;
  #context: OperatorContext;
  #fold: Fold;
  #gapMs: number;
  #sessions: SessionList;
  #timers: Timers;
  #watermarkMs = NO_WATERMARK;
  #horizonMs = NO_WATERMARK;
  /** For 'updates': the sessions that the batch has changed, and their keys. */
  #changed = new Map<Session, string>();

  constructor(spec: WindowOperatorSpec, gapMs: number, context: OperatorContext) {
    this.#spec = spec;
    this.#context = context;
    this.#gapMs = gapMs;
    this.#fold = new Fold(spec.aggregates, context.worked);
    if (!mergesAll(spec.aggregates)) {
      throw new MillraceError('INVALID_ARGUMENT', `${context.name}: sessions need aggregates that have 'merge'`);
    }
    this.#sessions = new SessionList(context.tables);
    this.#timers = new Timers({
      tables: context.tables,
      slotMs: Math.max(1, Math.ceil((gapMs + spec.graceMs) / SLOTS)),
    });
    this.lagMs = gapMs + spec.graceMs;
  }

  receive(_port: number, key: string | null, value: unknown, timeMs: number): void {
    const context = this.#context;
    if (value === null || value === undefined) {
      context.drop('null-value');
      return;
    }
    const sessions = this.#sessions.open(key);
    // The sessions that the record would join: from `from` on, before `to`.
    const from = sessions.firstEndingFrom(timeMs - this.#gapMs);
    let to = from;
    while (to < sessions.count && sessions.at(to).s <= timeMs + this.#gapMs) to++;
    const lateByMs = this.#latenessOf({ from, to }, timeMs);
    if (lateByMs > 0) {
      context.late({ key, value, timeMs, watermarkMs: this.#watermarkMs, lateByMs });
      return;
    }
    try {
      if (key === null) throw keyless('cannot be put in a session', this.#spec.keyField);
      this.#fold.extract(value);
      if (to - from === 1) this.#extend(key, from, timeMs);
      else this.#join(key, { from, to }, timeMs);
    } catch (cause) {
      context.poison(cause, { key, value, timeMs });
    }
  }

  /** How much more grace would have let the record in; 0: it is not late. */
  #latenessOf(joins: { from: number; to: number }, timeMs: number): number {
    const sessions = this.#sessions;
    for (let i = joins.from; i < joins.to; i++) {
      const session = sessions.at(i);
      if (session.a === null) return Math.max(1, this.#horizonMs - session.e - this.#gapMs);
    }
    const isInside = joins.from < joins.to && sessions.at(joins.from).s <= timeMs;
    return isInside ? 0 : Math.max(0, this.#horizonMs - timeMs - this.#gapMs);
  }

  /** The record joins one session, by far the most common case. */
  #extend(key: string, index: number, timeMs: number): void {
    const session = this.#sessions.at(index);
    this.#fold.add(session.a!, timeMs);
    if (timeMs < session.s) session.s = timeMs;
    if (timeMs > session.e) session.e = timeMs;
    this.#sessions.changed(index);
    if (this.#spec.emit === 'updates') this.#change(session, key);
  }

  /** The record begins a session, or makes several one. */
  #join(key: string, joins: { from: number; to: number }, timeMs: number): void {
    const sessions = this.#sessions;
    const joined: Session[] = [];
    for (let i = joins.from; i < joins.to; i++) joined.push(sessions.at(i));
    const fresh = this.#fold.start();
    this.#fold.add(fresh, timeMs);
    const row = this.#fold.joined(
      fresh,
      joined.map(session => session.a!),
    );
    const session: Session = {
      s: Math.min(timeMs, joined[0]?.s ?? timeMs),
      e: Math.max(timeMs, joined.at(-1)?.e ?? timeMs),
      a: row,
    };
    sessions.put(joins, session);
    const due = this.#closingTime(session);
    // A session that grows is due later than its timer says: it is armed anew when that fires.
    if (due < sessions.dueMs) {
      sessions.arm(due);
      this.#timers.set(key, due);
    }
    if (this.#spec.emit === 'final') return;
    for (const gone of joined) this.#changed.delete(gone);
    this.#change(session, key);
  }

  #change(session: Session, key: string): void {
    if (this.#changed.has(session)) return;
    this.#changed.set(session, key);
    this.#context.owe(1);
  }

  /** The first watermark, in whole ms, at which the session is closed, or forgotten. */
  #closingTime(session: Session): number {
    return session.e + this.#gapMs * (session.a === null ? 2 : 1) + this.#spec.graceMs + 1;
  }

  advance(watermarkMs: number): boolean {
    this.#setWatermark(watermarkMs);
    const done = this.#timers.fire(watermarkMs, { fire: this.#look, full: this.#context.full });
    // In the batch that changed them, whether all is fired or not: no later one would know of them after a restart.
    for (const [session, key] of this.#changed) if (session.a !== null) this.#send(key, session, session.a, false);
    if (this.#changed.size > 0) this.#changed = new Map();
    return done;
  }

  /** A key's timer has fired: closes and forgets what is due, and arms the next. */
  #look = (key: string, dueMs: number): void => {
    const sessions = this.#sessions.open(key);
    if (sessions.dueMs !== dueMs) return;
    // Sessions close in the order of time, and are forgotten in it: what is not due yet ends it.
    let forgotten = 0;
    let open = 0;
    for (; open < sessions.count; open++) {
      const session = sessions.at(open);
      if (session.a !== null && this.#closingTime(session) <= this.#watermarkMs) {
        this.#send(key, session, session.a, true);
        session.a = null;
        sessions.changed(open);
      }
      if (session.a !== null) break;
      if (this.#closingTime(session) <= this.#watermarkMs) forgotten++;
    }
    let due = Number.POSITIVE_INFINITY;
    if (forgotten < open) due = this.#closingTime(sessions.at(forgotten));
    if (open < sessions.count) due = Math.min(due, this.#closingTime(sessions.at(open)));
    sessions.forget(forgotten);
    if (sessions.count === 0) return;
    sessions.arm(due);
    this.#timers.set(key, due);
  };

  #send(key: string, session: Session, row: Row, final: boolean): void {
    const { s: startMs, e: endMs } = session;
    let shaped: unknown;
    try {
      shaped = this.#spec.shape({ key, startMs, endMs, results: this.#fold.results(row), final });
      refusePromise(shaped, 'the function that shapes a window');
    } catch (cause) {
      this.#context.poison(cause, { key, value: { startMs, endMs }, timeMs: endMs });
      return;
    }
    this.#context.emit(key, shaped, endMs, INSERT);
  }

  /** Timers are gone when they have fired, and sessions know that they have closed. */
  hold(): void {}

  resume(watermarkMs: number): void {
    this.#setWatermark(watermarkMs);
  }

  #setWatermark(watermarkMs: number): void {
    this.#watermarkMs = watermarkMs;
    this.#horizonMs = watermarkMs - this.#spec.graceMs;
  }

  look(): OperatorLook {
    const { table } = this.#sessions;
    const { size } = table;
    if (size > LOOK_ENTRIES_MAX || table.isPartial(0)) {
      return { unit: 'sessions', held: size, nextMs: before(this.#timers.firstMs()) };
    }
    let held = 0;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [, items] of table.entries(0)) {
      for (const session of items) {
        // One that has closed is only remembered.
        if (session === null || typeof session === 'number' || session.a === null) continue;
        held++;
        nextMs = Math.min(nextMs, this.#closingTime(session));
      }
    }
    return { unit: 'sessions', held, nextMs: held === 0 ? null : before(nextMs) };
  }

  want(wants: Wants, _port: number, key: string | null): void {
    if (key !== null) wants.key(this.#sessions.table, 0, key);
  }

  wantAdvance(wants: Wants, watermarkMs: number): void {
    this.#timers.forEachDue(watermarkMs, key => wants.key(this.#sessions.table, 0, key));
  }
}

/** A session closes right after the moment up to which it is open, and that is the one to be told. */
function before(closingMs: number | null): number | null {
  return closingMs === null ? null : closingMs - 1;
}
