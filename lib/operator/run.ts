/**
 * A run: a program brought to life in one place, a reader or a stage's task.
 *
 * Nodes call each other directly, a record at a time. `steps` are the stateful ones, in topological order. A batch is:
 * `receive` every record, then execute each step with the watermark. Where state is on disk, a step holds back what it is
 * given until it executes: all that it will receive is known then, and so are the keys that it will touch, which is what
 * makes prefetch possible. While all state is in memory nothing is held back: lists of thousands of records would only
 * be copied by the collector again and again.
 *
 * Event time: `watermark downstream = watermark − lag`, lags summed along the longest path to each node and exit.
 */
import { invariant, isMillraceError, MillraceError } from '../base/errors.ts';
import { placedMessageOf } from '../base/place.ts';
import { type Change, INSERT } from '../change/change.ts';
import { hasPassed, idOf, withId } from '../record/replay.ts';
import type { Tables } from '../state/tables.ts';
import { buildOperator } from './build.ts';
import type { WatchedCalls } from './call-watch.ts';
import type { Cursor } from './cursor.ts';
import { checkData } from './kept.ts';
import type { DropReason, Operator } from './operator.ts';
import type { Program, ProgramNode, Target } from './program.ts';
import type { StatefulSpec, StatelessSpec } from './spec.ts';
import { Batch, Step } from './step.ts';
import { listed, refusePromise } from './user-code.ts';
import { watchedProgram } from './watched.ts';

export { type Cursor, newCursor } from './cursor.ts';

/** Takes records one by one. `cursor` has the rest of the record in hand. */
export interface Receiver {
  receive(key: string | null, value: unknown, timeMs: number, change: Change): void;
}

/** A late record, on its way to the late output. */
export interface LateRecord {
  readonly operator: string;
  readonly key: string | null;
  readonly value: unknown;
  readonly timeMs: number;
  readonly watermarkMs: number;
  readonly lateByMs: number;
  readonly change: Change;
}

export interface PoisonedRecord {
  readonly operator: string;
  readonly cause: MillraceError;
  readonly value: unknown;
  readonly change: Change;
}

/** What a run's surroundings take from it. Each call is about the record in hand (`cursor`). */
export interface RunPorts {
  /** The record in hand; exits read it, and whoever feeds the run sets it. */
  readonly cursor: Cursor;
  readonly exits: readonly Receiver[];
  /** Opens the tables of an operator; null where there is no state (a reader). */
  readonly tables: ((operator: string) => Tables) | null;
  /** How the user code of a node is called; absent: as it is. */
  watchCalls?(node: string): WatchedCalls;
  /** Whose replayed records may pass a dedupe a second time; absent: nobody's. */
  readonly pipeline?: string;
  late(record: LateRecord): void;
  poison(record: PoisonedRecord): void;
  drop(operator: string, reason: DropReason): void;
  /** Whether operators may be given records at once, without saying first what they will touch. Absent: they may. */
  resident?(): boolean;
  /** See `OperatorContext`. Absent: nobody counts. */
  owe?(rows: number): void;
  /** See `OperatorContext`. Absent: nobody counts. */
  worked?(values: number): void;
  /** See `OperatorContext`. Absent: nothing is too much. */
  readonly full?: () => boolean;
}

export class Run {
  /** One for each input of the program. */
  readonly entries: readonly Receiver[];
  readonly steps: readonly Step[];
  /** By exit: how far the event times of what leaves may trail the stage's watermark. */
  readonly exitLagsMs: readonly number[];
  #batch: Batch;

  constructor(given: Program, ports: RunPorts) {
    const batch = new Batch(() => ports.resident?.() ?? true);
    this.#batch = batch;
    const program = ports.watchCalls === undefined ? given : watchedProgram(given, ports.watchCalls);
    const nodes: (Receiver | Step)[] = [];
    const makers = makersOf(program);
    /** @param maker who made the values, where it is not known that they are data */
    const toward = (targets: readonly Target[], maker: string | null): Receiver =>
      fan(
        targets.map(target => {
          if ('exit' in target) return ports.exits[target.exit]!;
          const node = nodes[target.node]!;
          if (!(node instanceof Step)) return node;
          const port = portOf(node, target.port);
          return maker === null ? port : checked(port, maker, ports);
        }),
      );
    // The last node first, so that what a node sends to is there already.
    for (let i = program.nodes.length - 1; i >= 0; i--) {
      const node = program.nodes[i]!;
      const forward = node.targets.every(target => 'exit' in target || target.node > i);
      invariant(forward, `the nodes of a program are in topological order, but ${node.name} sends back`);
      const next = toward(node.targets, makers[i]!);
      nodes[i] = isStateful(node.spec)
        ? new Step({
            name: node.name,
            operator: operatorOf({ ...node, spec: node.spec, next, ports, batch }),
            cursor: ports.cursor,
            batch,
          })
        : new StatelessNode({ name: node.name, spec: node.spec, next, ports, batch });
    }
    this.entries = program.entries.map(targets => toward(targets, null));
    this.steps = nodes.filter(node => node instanceof Step);
    this.exitLagsMs = spreadLags(program, nodes);
  }

  /** Whether the batch in hand passes the steps as it is fed, and its keys need not be wanted. */
  get passes(): boolean {
    return this.#batch.ask();
  }

  /** About how much the steps hold back in the batch in hand. */
  get heldBytes(): number {
    return this.#batch.heldBytes;
  }

  /** How many values its operators have made in the batch in hand, whatever becomes of them. */
  get emitted(): number {
    return this.#batch.emitted;
  }

  /** All steps have executed. What is fed now belongs to the next batch. `done`: all has fired that is due. */
  endBatch(done: boolean): void {
    if (!done) for (const step of this.steps) step.hold();
    this.#batch.end();
  }
}

interface NodeOptions<Spec> {
  readonly name: string;
  readonly spec: Spec;
  readonly next: Receiver;
  readonly ports: RunPorts;
  readonly batch: Batch;
}

function operatorOf({ name, spec, next, ports, batch }: NodeOptions<StatefulSpec>): Operator {
  const { tables, cursor } = ports;
  invariant(tables !== null, `${name} keeps state and so cannot run in a reader`);
  const place = `${ports.pipeline}/${name}`;
  return buildOperator(spec, {
    name,
    tables: tables(name),
    emit: (key, value, timeMs, change) => {
      batch.emitted++;
      next.receive(key, value, timeMs, change);
    },
    late: record => ports.late({ operator: name, change: INSERT, ...record }),
    drop: reason => ports.drop(name, reason),
    poison: (cause, { value, change = INSERT }) => ports.poison({ operator: name, cause: blame(cause), value, change }),
    carriedId: () => idOf(cursor.id),
    hasPassed: () => cursor.id !== null && hasPassed(cursor.id, place),
    owe: rows => ports.owe?.(rows),
    worked: values => ports.worked?.(values),
    full: ports.full ?? neverFull,
  });
}

const neverFull = () => false;

/** Sums lags along the longest path to each step, and returns those of the exits. */
function spreadLags(program: Program, nodes: readonly (Receiver | Step)[]): number[] {
  const nodeLags = new Array<number>(nodes.length).fill(0);
  const exitLags = new Array<number>(program.exits.length).fill(0);
  nodes.forEach((node, i) => {
    let lagMs = nodeLags[i]!;
    if (node instanceof Step) {
      node.lagMs = lagMs;
      lagMs += node.operator.lagMs;
    }
    for (const target of program.nodes[i]!.targets) {
      if ('exit' in target) exitLags[target.exit] = Math.max(exitLags[target.exit]!, lagMs);
      else nodeLags[target.node] = Math.max(nodeLags[target.node]!, lagMs);
    }
  });
  return exitLags;
}

/**
 * For each node, itself or the one before it that makes new values by user code; null: what entered is passed on as it
 * is.
 */
function makersOf(program: Program): (string | null)[] {
  const makers = new Array<string | null>(program.nodes.length).fill(null);
  program.nodes.forEach((node, i) => {
    if (!['filter', 'keyBy', 'carryId', 'dedupe'].includes(node.spec.kind)) makers[i] = node.name;
    for (const target of node.targets) if ('node' in target) makers[target.node] ??= makers[i]!;
  });
  return makers;
}

/** State is made of data: what user code has made of a record is judged before an operator keeps it. */
function checked(port: Receiver, maker: string, ports: RunPorts): Receiver {
  const check = ports.watchCalls?.(maker).watched(checkData) ?? checkData;
  return {
    receive(key, value, timeMs, change) {
      try {
        check(value);
      } catch (cause) {
        return ports.poison({ operator: maker, cause: blame(cause), value, change });
      }
      port.receive(key, value, timeMs, change);
    },
  };
}

export function isStateful(spec: ProgramNode['spec']): spec is StatefulSpec {
  return !['map', 'filter', 'flatMap', 'keyBy', 'carryId'].includes(spec.kind);
}

/** Whatever user code threw, as an error with a code. */
function blame(cause: unknown): MillraceError {
  return isMillraceError(cause) ? cause : new MillraceError('USER_CODE', placedMessageOf(cause), { cause });
}

function portOf(step: Step, port: number): Receiver {
  return { receive: (key, value, timeMs, change) => step.push(port, key, value, timeMs, change) };
}

function fan(receivers: readonly Receiver[]): Receiver {
  if (receivers.length === 1) return receivers[0]!;
  return {
    receive(key, value, timeMs, change) {
      for (let i = 0; i < receivers.length; i++) receivers[i]!.receive(key, value, timeMs, change);
    },
  };
}

/**
 * A stateless operator in its place. User code runs inside try; what follows downstream runs outside it, so that an
 * operator is never blamed for what another one did. Of the change that a record is it knows nothing, and passes it on.
 */
class StatelessNode implements Receiver {
  readonly receive: Receiver['receive'];

  constructor({ name, spec, next, ports, batch }: NodeOptions<StatelessSpec>) {
    const { cursor } = ports;
    const poison = (cause: unknown, value: unknown, change: Change) =>
      ports.poison({ operator: name, cause: blame(cause), value, change });
    switch (spec.kind) {
      case 'map':
        this.receive = (key, value, timeMs, change) => {
          let mapped: unknown;
          try {
            mapped = spec.fn(value);
            refusePromise(mapped, 'the function of map');
          } catch (cause) {
            return poison(cause, value, change);
          }
          next.receive(key, mapped, timeMs, change);
        };
        break;
      case 'filter':
        this.receive = (key, value, timeMs, change) => {
          let kept: unknown;
          try {
            kept = spec.fn(value);
            refusePromise(kept, 'the predicate of filter');
          } catch (cause) {
            return poison(cause, value, change);
          }
          if (kept) next.receive(key, value, timeMs, change);
          else ports.drop(name, 'filtered');
        };
        break;
      case 'flatMap':
        this.receive = (key, value, timeMs, change) => {
          let mapped: unknown[];
          try {
            const result = spec.fn(value);
            refusePromise(result, 'the function of flatMap');
            mapped = listed(result);
          } catch (cause) {
            return poison(cause, value, change);
          }
          batch.emitted += mapped.length;
          for (const one of mapped) next.receive(key, one, timeMs, change);
        };
        break;
      case 'keyBy':
        this.receive = (_key, value, timeMs, change) => {
          let key: string | null;
          try {
            key = spec.fn(value);
          } catch (cause) {
            return poison(cause, value, change);
          }
          next.receive(key, value, timeMs, change);
        };
        break;
      case 'carryId':
        this.receive = (key, value, timeMs, change) => {
          let id: string;
          try {
            id = spec.fn(value);
            refusePromise(id, 'the id function of dedupe');
          } catch (cause) {
            return poison(cause, value, change);
          }
          const outer = cursor.id;
          cursor.id = outer === null ? id : withId(outer, id);
          next.receive(key, value, timeMs, change);
          cursor.id = outer;
        };
        break;
    }
  }
}
