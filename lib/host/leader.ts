/**
 * The leader: says whose each part of each pipeline is. One worker leads at a time, the one that holds the lease; what it does
 * is three steps, again and again: what should be (`cluster/target.ts`, from who is there and what runs), what to do now on the
 * way there (`cluster/moves.ts`, from how warm followers are), and the assignment documents that say so.
 *
 * It owns nothing but its turn. Each turn begins from the documents, so one leader goes on where another has died, and two
 * that both believe they lead refuse each other's writes by compare-and-set.
 */
import type { Clock } from '../base/clock.ts';
import type { Assignments, PartAssignment, Parts } from '../cluster/assignments.ts';
import { Loads } from '../cluster/loads.ts';
import { applied, nextSteps } from '../cluster/moves.ts';
import {
  type MemberView,
  NOWHERE,
  type PartKey,
  type PartLoad,
  type Placement,
  partKey,
} from '../cluster/placement.ts';
import type { Member } from '../cluster/roster.ts';
import type { PipelineSpec } from '../cluster/specs.ts';
import { previousOf, target } from '../cluster/target.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import { type Part, shapeOf, taskOf, taskPart } from '../topology/parts.ts';
import type { Report, Reports } from './reports.ts';

/** How soon it is looked again while something is under way, and how often when nothing is. */
const SOON_MS = 100;
const LATER_MS = 5_000;
/** Moves at a time that a worker may have a part in. */
const MOVES_MAX = 2;
/** The same while somebody drains, who has a deadline. */
const DRAIN_MOVES_MAX = 8;
/** After so many calls a target moves no more. */
const SETTLED_CALLS = 8;

/** A pipeline that should run. */
export interface Led {
  readonly name: string;
  readonly parts: readonly Part[];
}

/** A part that has, or will have, another owner. */
export interface Move {
  readonly pipeline: string;
  readonly part: Part;
  /** Null: nobody has it. */
  readonly from: string | null;
  readonly to: string;
  readonly why: 'new' | 'gone' | 'draining' | 'balance';
}

export interface LeaderOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly assignments: Assignments;
  isLeading(): boolean;
  pipelines(): readonly Led[];
  /** Who is there, us included, and who has gone and may come back. */
  members(): readonly Member[];
  /** These should be there: who is not heard of soon has gone. */
  expect(names: Iterable<string>): void;
  readonly reports: Pick<Reports, 'all' | 'refresh'>;
  /** How many workers follow each task. */
  readonly standbys: number;
}

export class Leader {
  readonly #options: LeaderOptions;
  #turning: Promise<void> | null = null;
  #again = false;
  #stopped = false;
  #cancelTimer: (() => void) | null = null;
  readonly #loads = new Loads();
  /** What was aimed at last: a target is come by in a few turns. */
  #aim: Placement | null = null;

  constructor(options: LeaderOptions) {
    this.#options = options;
  }

  /** Something is not as it was: pipelines, members, documents, reports, who leads. */
  stir(): void {
    if (this.#stopped) return;
    if (this.#turning !== null) {
      this.#again = true;
      return;
    }
    this.#cancelTimer?.();
    this.#turning = this.#turn()
      .catch(error => {
        this.#options.observer.emit({ event: 'assignments.unwritten', level: 'warn', ...errorFields(error) });
        return false;
      })
      .then(isAtRest => {
        this.#turning = null;
        if (this.#stopped) return;
        if (this.#again) {
          this.#again = false;
          return this.stir();
        }
        this.#cancelTimer = this.#options.clock.after(isAtRest ? LATER_MS : SOON_MS, () => this.stir());
      });
  }

  /** What would move, as things are: from where to where it comes to in the end. */
  preview(): Move[] {
    const { assignments, members, pipelines, standbys } = this.#options;
    const known = members().filter(({ standing }) => standing !== 'out');
    const there = known.filter(({ verdict }) => verdict !== 'gone');
    const led = pipelines();
    const current = currentOf(led, assignments);
    const parts = loadsOf(led, this.#loads);
    let aim = previousOf({ aimed: this.#aim, current, members: known });
    for (let calls = 0; calls < SETTLED_CALLS; calls++)
      aim = target({ members: known, parts, previous: aim, standbys });
    return [...aim].flatMap(([key, { owner: to }]) => {
      const from = current.get(key)?.owner ?? null;
      if (to === null || from === to) return [];
      const [pipeline, part] = namesOf(key);
      return [{ pipeline, part, from, to, why: from === null ? 'new' : whyFrom(from, there) }];
    });
  }

  #tell(
    pipeline: string,
    { before, parts, there }: { before: Parts; parts: Parts; there: readonly MemberView[] },
  ): void {
    const { observer } = this.#options;
    const placed: string[] = [];
    for (const [part, { owner: to }] of parts) {
      const from = before.get(part)?.owner ?? null;
      if (to === null || from === to) continue;
      if (from === null) placed.push(to);
      else observer.emit({ event: 'part.moved', level: 'info', pipeline, part, from, to, why: whyFrom(from, there) });
    }
    if (placed.length === 0) return;
    const workers = new Set(placed).size;
    observer.emit({ event: 'parts.placed', level: 'info', pipeline, parts: placed.length, workers });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#turning;
  }

  /** True: nothing is under way. */
  async #turn(): Promise<boolean> {
    const { assignments, expect, isLeading, members, pipelines, reports, standbys } = this.#options;
    if (!isLeading()) {
      this.#aim = null;
      return true;
    }
    await reports.refresh();
    const led = pipelines();
    const said = reports.all();
    const current = currentOf(led, assignments);
    expect([...current.values()].flatMap(({ owner, followers }) => [owner ?? [], followers].flat()));
    const known = members();
    const counted = known
      .filter(({ standing }) => standing !== 'out')
      // Who beats and has never answered a question is given nothing: he may be anybody.
      .map(member => (said.has(member.name) || member.verdict === 'gone' ? member : { ...member, capacity: 0 }));
    const there = known.filter(({ verdict }) => verdict !== 'gone');
    this.#loads.take(recordsOf(said), this.#options.clock.monotonic());
    const wanted = target({
      members: counted,
      parts: loadsOf(led, this.#loads),
      previous: previousOf({ aimed: this.#aim, current, members: counted }),
      standbys,
    });
    this.#aim = wanted;
    const steps = nextSteps({
      target: wanted,
      current,
      progress: progressOf(said),
      alive: new Set(there.map(({ name }) => name)),
      steady: new Set(there.filter(({ standing }) => standing === 'steady').map(({ name }) => name)),
      claiming: claimingOf(current, said),
      budget: { perMember: there.some(({ isDraining }) => isDraining) ? DRAIN_MOVES_MAX : MOVES_MAX },
    });
    const next = applied(current, steps);
    let isAtRest = steps.length === 0;
    for (const one of led) {
      const before = assignments.of(one.name)?.parts ?? new Map<Part, PartAssignment>();
      const parts = documentOf(one, next, { before, there, said });
      if (assignments.isStored(one.name) && isSame(parts, before)) continue;
      isAtRest = false;
      if (!isLeading()) return true;
      if (await assignments.put(one.name, parts)) this.#tell(one.name, { before, parts, there });
    }
    return isAtRest && [...next].every(([key, { owner }]) => owner === wanted.get(key)?.owner);
  }
}

/** The pipelines that should run, and their parts as their plans were stored. */
export function ledOf(specs: Iterable<PipelineSpec>): Led[] {
  return [...specs].flatMap(({ name, desired, summary }) => {
    const { parts } = shapeOf(summary);
    return desired !== 'running' || parts.length === 0 ? [] : [{ name, parts }];
  });
}

function whyFrom(worker: string, there: readonly MemberView[]): 'gone' | 'draining' | 'balance' {
  const member = there.find(({ name }) => name === worker);
  if (member === undefined) return 'gone';
  return member.isDraining ? 'draining' : 'balance';
}

function namesOf(key: PartKey): [pipeline: string, part: Part] {
  const slash = key.indexOf('/');
  return [key.slice(0, slash), key.slice(slash + 1)];
}

/** As the documents have it. */
function currentOf(led: readonly Led[], assignments: Assignments): Placement {
  const current = new Map<PartKey, { owner: string | null; followers: readonly string[] }>();
  for (const { name, parts } of led) {
    const held = assignments.of(name)?.parts;
    for (const part of parts) {
      const { owner, followers } = held?.get(part) ?? NOWHERE;
      current.set(partKey({ pipeline: name, part }), { owner, followers });
    }
  }
  return current;
}

/** What each part has taken in, as its owner says. */
function recordsOf(said: ReadonlyMap<string, Report>): Map<PartKey, number> {
  const records = new Map<PartKey, number>();
  for (const report of said.values()) {
    for (const [pipeline, { status }] of report) {
      for (const task of status.tasks) records.set(partKey({ pipeline, part: taskPart(task) }), task.recordsIn);
      for (const source of status.sources) records.set(partKey({ pipeline, part: source.name }), source.recordsIn);
    }
  }
  return records;
}

/** Tasks beside tasks and readers beside readers: what one and the other do with a record is not the same work. */
function loadsOf(led: readonly Led[], loads: Loads): PartLoad[] {
  return led.flatMap(({ name, parts }) => {
    const kinds = [parts.filter(part => taskOf(part) !== null), parts.filter(part => taskOf(part) === null)];
    return kinds.flatMap(kind => {
      const known = loads.of(kind.map(part => partKey({ pipeline: name, part })));
      return kind.map(part => ({
        pipeline: name,
        part,
        load: known.get(partKey({ pipeline: name, part }))!,
        disks: [],
      }));
    });
  });
}

/** Which followers are warm, by part and worker. A reader has nothing to be warm with. */
function progressOf(said: ReadonlyMap<string, Report>): Map<PartKey, Map<string, { warm: boolean }>> {
  const progress = new Map<PartKey, Map<string, { warm: boolean }>>();
  for (const [worker, report] of said) {
    for (const [pipeline, { status }] of report) {
      for (const { stage, partition, fresh } of status.followers) {
        const key = partKey({ pipeline, part: taskPart({ stage, partition }) });
        let workers = progress.get(key);
        if (workers === undefined) progress.set(key, (workers = new Map()));
        workers.set(worker, { warm: fresh });
      }
    }
  }
  return progress;
}

interface Known {
  readonly before: Parts;
  readonly there: readonly MemberView[];
  readonly said: ReadonlyMap<string, Report>;
}

/** A part that has changed hands says from whom, until he is gone or the part runs at its owner's. */
function documentOf({ name, parts }: Led, next: Placement, { before, there, said }: Known): Parts {
  const isThere = (worker: string | null) => there.some(member => member.name === worker);
  const made = new Map<Part, PartAssignment>();
  for (const part of parts) {
    const { owner, followers } = next.get(partKey({ pipeline: name, part })) ?? NOWHERE;
    const was = before.get(part);
    const former = was === undefined ? null : was.owner === owner ? was.from : was.owner;
    const isAwaited = former !== null && isThere(former) && !runsAt(said.get(owner ?? ''), name, part);
    made.set(part, { owner, followers, from: isAwaited ? former : null });
  }
  return made;
}

/** Parts that their owners do not say they run, yet. */
function claimingOf(current: Placement, said: ReadonlyMap<string, Report>): Set<PartKey> {
  const claiming = new Set<PartKey>();
  for (const [key, { owner }] of current) {
    const [pipeline, part] = namesOf(key);
    if (owner !== null && !runsAt(said.get(owner), pipeline, part)) claiming.add(key);
  }
  return claiming;
}

function runsAt(report: Report | undefined, pipeline: string, part: Part): boolean {
  const status = report?.get(pipeline)?.status;
  if (status === undefined) return false;
  const task = taskOf(part);
  if (task === null) return status.sources.some(({ name }) => name === part);
  return status.tasks.some(
    ({ stage, partition, state }) => stage === task.stage && partition === task.partition && state === 'running',
  );
}

function isSame(left: Parts, right: Parts): boolean {
  if (left.size !== right.size) return false;
  for (const [part, { owner, followers, from }] of left) {
    const other = right.get(part);
    if (other === undefined || other.owner !== owner || other.from !== from) return false;
    if (other.followers.join() !== followers.join()) return false;
  }
  return true;
}
