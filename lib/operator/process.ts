/**
 * Process: the user's own function over the records of a key, with state of its own and timers in event time.
 *
 * State: table `state`, one entry a key: what the user keeps, and which of the key's timers are set to when; table
 * `timers`, the same times in the order they fall due.
 *
 * A call happens whole or not at all. What the function does to its context is collected and carried out when it has
 * returned; if it throws, nothing has happened, and the record is poison (a timer that throws has fired: it is gone).
 * It is given a copy of its state, so that changing it in place and failing leaves no trace; what is in `state` when
 * it returns is kept, assigned or changed in place.
 *
 * Timers fire in the order of time, each once, at the first advance at which W has reached them: one set for the past
 * at the next advance, which is the end of the same batch for those set by records.
 *
 * `lagMs` is 0: records pass as they come, and what a timer emits has, unless the user says otherwise, the time it was
 * set for, but none before the watermark it was overtaken by.
 */
import { MillraceError } from '../base/errors.ts';
import { INSERT } from '../change/change.ts';
import { decodeKey } from '../record/key.ts';
import { readTimerId, writeTimerId } from '../state/entry-key.ts';
import type { ValueTable, Wants } from '../state/tables.ts';
import { NO_WATERMARK, TIME_MAX_MS } from '../window/watermark.ts';
import { copyValue } from './copy.ts';
import { checkData } from './kept.ts';
import type { Operator, OperatorContext, OperatorLook } from './operator.ts';
import type { ProcessContext, ProcessSpec, StatefulSpec } from './spec.ts';
import { Timers } from './timers.ts';
import { checkFanOut, keyless, refusePromise, shown } from './user-code.ts';

/** Timers that one key may have set at a time. */
export const TIMERS_MAX = 1_000;
/** A timer's slot in its table: some are loaded, most wait. */
const SLOT_MS = 60_000;

/** What is kept of a key: the user's state, if there is any, and its timers' names and times. */
interface KeyState {
  readonly s?: unknown;
  readonly t: Readonly<Record<string, number>> | null;
}

export class Process implements Operator {
  readonly lagMs = 0;
  #spec: ProcessSpec;
  #keyField: string | null | undefined;
  #context: OperatorContext;
  #states: ValueTable<KeyState>;
  #timers: Timers;
  #call = new Call();
  #watermarkMs = NO_WATERMARK;
  #firedToMs = NO_WATERMARK;
  /** The watermark has more to fire than one batch took. */
  #isFiring = false;

  constructor({ process, keyField }: Extract<StatefulSpec, { kind: 'process' }>, context: OperatorContext) {
    this.#spec = process;
    this.#keyField = keyField;
    this.#context = context;
    this.#states = context.tables.values<KeyState>('state');
    this.#timers = new Timers({ tables: context.tables, slotMs: SLOT_MS });
  }

  receive(_port: number, key: string | null, value: unknown, timeMs: number): void {
    const context = this.#context;
    if (value === null || value === undefined) {
      context.drop('null-value');
      return;
    }
    try {
      if (key === null) throw keyless('has no state to be processed with', this.#keyField);
      const call = this.#open(key, timeMs);
      refusePromise(this.#spec.onRecord(value, call, timeMs), 'onRecord');
      this.#carryOut(key, call.close());
    } catch (cause) {
      this.#call.close();
      context.poison(cause, { key, value, timeMs });
    }
  }

  advance(watermarkMs: number): boolean {
    // A watermark that goes on firing finds timers as overdue as they were at its beginning.
    if (!this.#isFiring) this.#firedToMs = this.#watermarkMs;
    this.#watermarkMs = watermarkMs;
    const done = this.#timers.fire(watermarkMs, { fire: this.#onTimer, full: this.#context.full });
    this.#isFiring = !done;
    return done;
  }

  #onTimer = (id: string, dueMs: number): void => {
    const { name, key } = readTimerId(id);
    const state = this.#states.get(0, key);
    if (state?.t?.[name] !== dueMs) return;
    // In place: a key may have many, and all of them may be due.
    const timers = state.t as Record<string, number>;
    delete timers[name];
    this.#keep(key, isEmpty(timers) ? { ...state, t: null } : state);
    try {
      const call = this.#open(key, Math.max(dueMs, this.#firedToMs));
      refusePromise(this.#spec.onTimer?.(name, call, dueMs), 'onTimer');
      this.#carryOut(key, call.close());
    } catch (cause) {
      this.#call.close();
      this.#context.poison(cause, { key, value: { timer: name, timeMs: dueMs }, timeMs: dueMs });
    }
  };

  #open(key: string, emitMs: number): Call {
    const state = this.#states.get(0, key);
    this.#call.open({ key, emitMs, watermarkMs: this.#watermarkMs, state: state?.s, timers: state?.t ?? null });
    return this.#call;
  }

  /** All that a call asked for, now that it has returned. Nothing here runs user code. */
  #carryOut(key: string, done: Outcome): void {
    const { timers } = done;
    if (done.hasChanged) checkData(done.state);
    if (timers !== null) {
      const before = this.#states.get(0, key)?.t ?? null;
      for (const name of Object.keys(before ?? {})) {
        if (timers[name] !== before![name]) this.#timers.clear(writeTimerId(name, key), before![name]!);
      }
      for (const name of Object.keys(timers)) {
        if (before?.[name] !== timers[name]) this.#timers.set(writeTimerId(name, key), timers[name]!);
      }
    }
    if (done.hasChanged) {
      const set = timers ?? this.#states.get(0, key)?.t ?? {};
      const t = Object.keys(set).length === 0 ? null : { ...set };
      this.#keep(key, done.state === undefined ? { t } : { s: done.state, t });
    }
    for (let i = 0; i < done.values.length; i++) this.#context.emit(key, done.values[i], done.timesMs[i]!, INSERT);
  }

  #keep(key: string, state: KeyState): void {
    if (state.s === undefined && state.t === null) this.#states.delete(0, key);
    else this.#states.set(0, key, state);
  }

  /** Timers are gone when they have fired. */
  hold(): void {}

  resume(watermarkMs: number): void {
    this.#watermarkMs = watermarkMs;
  }

  look(): OperatorLook {
    return { unit: 'timers', held: this.#timers.size, nextMs: this.#timers.firstMs() };
  }

  want(wants: Wants, _port: number, key: string | null): void {
    if (key !== null) wants.key(this.#states, 0, key);
  }

  wantAdvance(wants: Wants, watermarkMs: number): void {
    this.#timers.forEachDue(watermarkMs, id => wants.key(this.#states, 0, readTimerId(id).key));
  }
}

/** What a call leaves behind. */
interface Outcome {
  readonly state: unknown;
  /** The key's timers as they shall be; null: as they were. */
  readonly timers: Readonly<Record<string, number>> | null;
  /** Whether state or timers may be different now. */
  readonly hasChanged: boolean;
  readonly values: readonly unknown[];
  readonly timesMs: readonly number[];
}

/** The context of one call of user code; the object is the same for all, and of use only while the call lasts. */
class Call implements ProcessContext<unknown, unknown> {
  #isOpen = false;
  #key = '';
  #emitMs = 0;
  #watermarkMs = NO_WATERMARK;
  #state: unknown;
  #isCopied = false;
  #hasChanged = false;
  #timersBefore: Readonly<Record<string, number>> | null = null;
  #timers: Record<string, number> | null = null;
  #timersSet = 0;
  #values: unknown[] = [];
  #timesMs: number[] = [];

  open(options: {
    key: string;
    emitMs: number;
    watermarkMs: number;
    state: unknown;
    timers: Readonly<Record<string, number>> | null;
  }): void {
    this.#isOpen = true;
    this.#key = options.key;
    this.#emitMs = options.emitMs;
    this.#watermarkMs = options.watermarkMs;
    this.#state = options.state;
    this.#isCopied = this.#hasChanged = false;
    this.#timersBefore = options.timers;
    this.#timers = null;
    this.#values = [];
    this.#timesMs = [];
  }

  close(): Outcome {
    this.#isOpen = false;
    return {
      state: this.#state,
      timers: this.#timers,
      hasChanged: this.#hasChanged || this.#timers !== null,
      values: this.#values,
      timesMs: this.#timesMs,
    };
  }

  get key(): unknown {
    return decodeKey(this.#key);
  }

  get watermarkMs(): number {
    return this.#watermarkMs;
  }

  get state(): unknown {
    this.#check();
    if (!this.#isCopied) {
      this.#isCopied = true;
      if (typeof this.#state === 'object' && this.#state !== null) {
        this.#state = copyValue(this.#state);
        // It may be changed in place from here on.
        this.#hasChanged = true;
      }
    }
    return this.#state;
  }

  set state(state: unknown) {
    this.#check();
    refusePromise(state, 'the state');
    this.#state = state;
    this.#isCopied = this.#hasChanged = true;
  }

  // Functions of their own, so that authors may take them out of the context.
  readonly emit = (value: unknown, options?: { timeMs?: number }): void => {
    this.#check();
    refusePromise(value, 'what is emitted');
    checkFanOut(this.#values.length + 1, 'a call of process');
    const timeMs = options?.timeMs ?? this.#emitMs;
    this.#values.push(value);
    this.#timesMs.push(timeOf(timeMs, 'emit'));
  };

  readonly setTimer = (name: string, timeMs: number): void => {
    this.#check();
    const dueMs = timeOf(timeMs, 'setTimer');
    const timers = this.#ownTimers();
    if (!(name in timers)) this.#timersSet++;
    timers[name] = dueMs;
    if (this.#timersSet > TIMERS_MAX) {
      throw new MillraceError('LIMIT_REACHED', `a key has more than TIMERS_MAX (${TIMERS_MAX}) timers set`);
    }
  };

  readonly clearTimer = (name: string): void => {
    this.#check();
    const timers = this.#ownTimers();
    if (name in timers) this.#timersSet--;
    delete timers[name];
  };

  #ownTimers(): Record<string, number> {
    if (this.#timers !== null) return this.#timers;
    this.#timersSet = Object.keys(this.#timersBefore ?? {}).length;
    this.#timers = Object.assign(Object.create(null) as Record<string, number>, this.#timersBefore);
    return this.#timers;
  }

  #check(): void {
    if (!this.#isOpen)
      throw new MillraceError('USER_CODE', 'the context of process was used after the call had returned');
  }
}

/** Event times are as at a source: whole ms. */
function timeOf(timeMs: unknown, where: string): number {
  if (typeof timeMs === 'number' && Math.abs(timeMs) <= TIME_MAX_MS) return Math.floor(timeMs);
  throw new MillraceError('INVALID_ARGUMENT', `${where}: the time is ms since 1970, not ${shown(timeMs)}`);
}

function isEmpty(timers: Readonly<Record<string, number>>): boolean {
  for (const _name in timers) return false;
  return true;
}
