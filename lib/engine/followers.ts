/**
 * The tasks that are followed here: a replica of each, kept fresh from its journal, without anybody's code and without owning
 * anything. A standby follows for good, a move until it is warm; whoever is given the task takes its replica over.
 *
 * Who follows claims nothing and writes nothing that counts, so whatever goes wrong with one is nobody's trouble: it is told,
 * and begun anew after a while.
 */
import { backoffMs } from '../base/backoff.ts';
import { sleep } from '../base/clock.ts';
import { errorFields } from '../observe/events.ts';
import type { FollowerStatus } from '../observe/status.ts';
import { tablesOf } from '../operator/tables.ts';
import { journalStream, journalSubject, stateLocation } from '../record/names.ts';
import { Replica } from '../replica/replica.ts';
import { Snapshots } from '../replica/snapshots.ts';
import { TaskState } from '../state/state.ts';
import type { Budget, Share } from '../task/budget.ts';
import { limitsOf, type Surroundings, type TaskLimits } from '../task/surroundings.ts';
import { type Part, taskOf } from '../topology/parts.ts';
import type { Plan } from '../topology/plan.ts';

const RETRY_BASE_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** How long an owner that is asked to may take to release a task; then it is claimed all the same, and he is fenced. */
export const RELEASE_WAIT_MS = 2_000;
/** How often it is looked whether it has. */
const LOOK_MS = 20;

export interface FollowersOptions {
  readonly plan: Plan;
  readonly around: Omit<Surroundings, 'assignment'>;
  readonly budget: Budget;
  readonly limits: Partial<TaskLimits>;
}

interface Follower {
  readonly part: Part;
  readonly stage: string;
  readonly partition: number;
  readonly replica: Replica;
  readonly share: Share;
  /** The journal's last word about its owner, as far as it was read; null: none was read. */
  owner: 'claim' | 'release' | null;
}

export class Followers {
  readonly #options: FollowersOptions;
  readonly #followers = new Map<Part, Follower>();
  /** Their stores are being closed. */
  readonly #closing = new Map<Part, Promise<void>>();
  /** Those that failed, and are begun anew after a while. */
  readonly #pausing = new Map<Part, () => void>();
  readonly #attempts = new Map<Part, number>();
  #wanted: ReadonlySet<Part> = new Set();
  #stopped = false;

  constructor(options: FollowersOptions) {
    this.#options = options;
  }

  /** Follows these from now on, and no others. Readers among them have nothing to follow. */
  want(parts: ReadonlySet<Part>): void {
    this.#wanted = parts;
    for (const [part, cancel] of this.#pausing) {
      if (parts.has(part)) continue;
      cancel();
      this.#pausing.delete(part);
    }
    for (const follower of this.#followers.values()) if (!parts.has(follower.part)) this.#close(follower);
    for (const part of parts) this.#begin(part);
  }

  get replicas(): ReadonlyMap<Part, Replica> {
    return new Map(Array.from(this.#followers, ([part, { replica }]) => [part, replica]));
  }

  /** Something of it is open here. */
  holds(part: Part): boolean {
    return this.#followers.has(part) || this.#closing.has(part);
  }

  /** Ends following a task, for whoever is to own it; null: it is not followed. */
  async take(part: Part): Promise<Replica | null> {
    await this.#closing.get(part);
    const follower = this.#followers.get(part);
    if (follower === undefined) return null;
    this.#followers.delete(part);
    follower.share.leave();
    return follower.replica;
  }

  /**
   * Resolves when the task's owner has released it and all that he has done is here, or has not within `RELEASE_WAIT_MS`, or
   * is not awaited any more.
   */
  async released(part: Part, isAwaited: () => boolean): Promise<void> {
    const { clock } = this.#options.around;
    const sinceMs = clock.monotonic();
    while (!this.#stopped && isAwaited() && clock.monotonic() - sinceMs < RELEASE_WAIT_MS) {
      const follower = this.#followers.get(part);
      if (follower?.owner === 'release' && follower.replica.isFresh) return;
      await sleep(clock, LOOK_MS);
    }
  }

  status(): FollowerStatus[] {
    return Array.from(this.#followers.values(), ({ stage, partition, replica }) => ({
      stage,
      partition,
      commit: replica.commit,
      fresh: replica.isFresh,
      stateBytes: replica.state.bytes,
    }));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wanted = new Set();
    for (const cancel of this.#pausing.values()) cancel();
    for (const follower of this.#followers.values()) this.#close(follower);
    await Promise.all(this.#closing.values());
  }

  #begin(part: Part): void {
    if (this.#stopped || this.#followers.has(part) || this.#closing.has(part) || this.#pausing.has(part)) return;
    const task = taskOf(part);
    if (task === null) return;
    const { plan, around, budget, limits: fixed } = this.#options;
    const { deployment, log, clock, random, stores, blobs } = around;
    const stage = plan.stages.find(({ name }) => name === task.stage);
    // An assignment may be of another revision than ours.
    if (stage === undefined) return;
    const share = budget.join();
    const limits = limitsOf(share, fixed);
    const location = stateLocation(deployment, task);
    const state = new TaskState(tablesOf(stage.program));
    const replica = new Replica({
      ...{ log, clock, random, stores, location, state },
      stream: journalStream(deployment),
      subject: journalSubject(deployment, task),
      snapshots: new Snapshots({ blobs, clock, random, prefix: location }),
      get stateBytesMax() {
        share.stateBytes = state.bytes;
        return limits.stateBytesMax;
      },
      standsAlone: around.standsAlone ?? false,
      onOwner: ({ kind }) => {
        follower.owner = kind;
      },
    });
    const follower: Follower = { part, ...task, replica, share, owner: null };
    this.#followers.set(part, follower);
    void replica.follow().catch(error => this.#failed(follower, error));
  }

  #failed(follower: Follower, error: unknown): void {
    if (this.#followers.get(follower.part) !== follower) return;
    const { plan, around } = this.#options;
    const { part, stage, partition } = follower;
    const attempt = this.#attempts.get(part) ?? 0;
    this.#attempts.set(part, attempt + 1);
    const retryMs = backoffMs(attempt, { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS, random: around.random });
    const about = { pipeline: plan.pipeline, stage, partition, retryMs };
    around.observer.emit({ event: 'task.unfollowed', level: 'warn', ...about, ...errorFields(error) });
    const resume = () => {
      this.#pausing.delete(part);
      if (this.#wanted.has(part)) this.#begin(part);
    };
    this.#pausing.set(part, around.clock.after(retryMs, resume));
    this.#close(follower);
  }

  #close({ part, replica, share }: Follower): void {
    this.#followers.delete(part);
    share.leave();
    const closed = replica.stop().then(() => {
      this.#closing.delete(part);
      if (this.#wanted.has(part)) this.#begin(part);
    });
    this.#closing.set(part, closed);
  }
}
