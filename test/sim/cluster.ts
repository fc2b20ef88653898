/**
 * A whole cluster in one process and on virtual time: a broker that loses answers and lands messages late, hosts that
 * crash, freeze, lose their disks, hear late, or never, which parts of the pipeline are theirs, or follow all of them and take
 * over when another crashes. One seed is one history.
 */
import { isMillraceError } from '../../lib/base/errors.ts';
import { Pipeline } from '../../lib/engine/pipeline.ts';
import type { MemoryLog } from '../../lib/memory/log.ts';
import type { MemoryStores } from '../../lib/memory/store.ts';
import type { Event } from '../../lib/observe/events.ts';
import type { StreamSettings } from '../../lib/port/log.ts';
import type { TaskLimits } from '../../lib/task/surroundings.ts';
import { type Assignment, type Part, partsOf, taskOf } from '../../lib/topology/parts.ts';
import type { Plan } from '../../lib/topology/plan.ts';
import { type Author, planOn, World } from './world.ts';

export interface Weather {
  readonly hosts: number;
  readonly crashes: number;
  readonly freezes: number;
  /** Times that a host and the broker cannot reach each other for a while. */
  readonly cuts: number;
  /** How many of the hosts begin by following. */
  readonly standbys: number;
  /** The longest that a host is frozen or cut off, ms. */
  readonly outageMs: number;
  /** Chance that a crashed host comes back without its disk. */
  readonly diskLoss: number;
  /** Virtual ms over which all of this happens. */
  readonly lengthMs: number;
}

export class Cluster extends World {
  readonly limits: Partial<TaskLimits>;
  /** Followers that were compared with their owners. */
  followed = 0;
  /** Times that one who followed took over. */
  promoted = 0;
  /** Pipelines that have ended since a later revision was there. */
  outdated = 0;
  /** Tasks that have no journal begin with their snapshots. */
  standsAlone = false;
  /** The stream that was put back. */
  putBack: string | null = null;
  /** Parts are shared out; else all are of the host that started last. */
  isShared = false;
  /** By part: whose it is. */
  #owners = new Map<Part, Host>();
  /** Parts whose owner before may still be there, and those who follow them, right or wrong. */
  #awaited = new Set<Part>();
  #followers = new Map<Part, Host>();
  #assignment = 0;
  /** The plan of each revision, from the first. */
  #plans: Plan[];
  #hosts: Host[] = [];

  constructor(options: { seed: number; plan: Plan; limits: Partial<TaskLimits>; messageBytesMax: number }) {
    super(options);
    this.limits = options.limits;
    this.#plans = [options.plan];
  }

  /** One in fair weather that will run `pipeline`, with the streams that it reads. */
  static async of(
    pipeline: Author,
    streams: readonly StreamSettings[],
    { messageBytesMax = 1 << 20 }: { messageBytesMax?: number } = {},
  ): Promise<Cluster> {
    const plan = await planOn(pipeline, streams);
    const cluster = new Cluster({ seed: 1, plan, limits: {}, messageBytesMax });
    for (const settings of streams) cluster.broker.create(settings);
    cluster.broker.faults = { delayMs: [0.1, 1] };
    return cluster;
  }

  /** What hosts start. */
  get plan(): Plan {
    return this.#plans.at(-1)!;
  }

  get hosts(): readonly Host[] {
    return this.#hosts;
  }

  addHost(): Host {
    const host = new Host(this, this.newDisk());
    this.#hosts.push(host);
    return host;
  }

  /**
   * Says anew whose each part is, as a leader would that sees which hosts are there. Each host hears it after a while of its
   * own; what it was told before counts until then, so that two may take a part for theirs.
   */
  assign(host?: Host): void {
    const random = this.random;
    const alive = this.#hosts.filter(candidate => candidate.isOwning);
    if (alive.length === 0) return;
    const all = host?.isOwning ? host : random.pick(alive);
    const parts = partsOf(this.plan);
    const before = this.#owners;
    this.#assignment++;
    this.#owners = new Map(parts.map(part => [part, this.isShared ? random.pick(alive) : all]));
    const moved = parts.filter(part => before.has(part) && before.get(part) !== this.#owners.get(part));
    this.#awaited = new Set(moved.filter(() => random.chance(0.5)));
    this.#followers = new Map(parts.filter(() => random.chance(0.5)).map(part => [part, random.pick(alive)]));
    for (const one of alive) one.hear(this.#assignmentOf(one), random.int(random.chance(0.2) ? 3_000 : 300));
  }

  #assignmentOf(host: Host): Assignment {
    if (host.isStandby) {
      return { number: this.#assignment, parts: [], follows: partsOf(this.plan).filter(part => taskOf(part) !== null) };
    }
    const partsIn = (hosts: ReadonlyMap<Part, Host>) =>
      [...hosts].flatMap(([part, one]) => (one === host ? [part] : []));
    return {
      number: this.#assignment,
      parts: partsIn(this.#owners),
      follows: partsIn(this.#followers),
      awaits: [...this.#awaited],
    };
  }

  /** From here on hosts start this one; those that run go on as they are, and end when they notice. */
  deploy(plan: Plan): void {
    this.#plans.push(plan);
  }

  /** A pipeline as one life of a host runs it. */
  pipeline(host: Host, log: MemoryLog, stores: MemoryStores): Pipeline {
    const random = this.random.fork();
    const observer = { emit: (event: Event) => this.events.push(event) };
    const revision = this.#plans.length;
    const pipeline = new Pipeline({
      plan: this.plan,
      revision,
      programs: {
        present: { since: revision, bundle: `b${revision}` },
        planOf: async ({ bundle }) => this.#plans[Number(bundle.slice(1)) - 1]!,
      },
      around: {
        ...{ log, clock: log.clock, random, observer, stores, blobs: this.blobsOf(log.clock) },
        standsAlone: this.standsAlone,
      },
      limits: this.limits,
      assignment: this.#assignmentOf(host),
    });
    pipeline.failed.then(error => {
      if (isMillraceError(error, 'REVISION_OUTDATED') && revision < this.#plans.length) this.outdated++;
      else this.failure ??= error;
    });
    return pipeline;
  }

  /** Crashes, freezes, cuts and restarts, spread over the weather's length. */
  disturb(weather: Weather): void {
    const random = this.random.fork();
    for (let i = 0; i < weather.crashes; i++) {
      this.clock.after(random.int(weather.lengthMs), () => {
        const host = random.pick(this.#hosts);
        host.crash({ losesDisk: random.chance(weather.diskLoss) });
        const standby = this.#hosts.find(other => other.isFollowing);
        if (standby !== undefined && !host.isStandby && random.chance(0.8)) {
          host.isStandby = true;
          this.clock.after(random.int(50), () => standby.promote());
        } else this.clock.after(random.int(1_000), () => this.assign());
        this.clock.after(random.int(800), () => host.start());
      });
    }
    for (let i = 0; i < weather.freezes; i++) {
      this.clock.after(random.int(weather.lengthMs), () => {
        const host = random.pick(this.#hosts);
        host.freeze();
        this.clock.after(500 + random.int(3_000), () => this.assign());
        this.clock.after(random.int(weather.outageMs), () => host.thaw());
      });
    }
    for (let i = 0; i < weather.cuts; i++) {
      this.clock.after(random.int(weather.lengthMs), () => {
        const host = random.pick(this.#hosts);
        host.cutOff();
        this.clock.after(500 + random.int(3_000), () => this.assign());
        this.clock.after(random.int(weather.outageMs), () => host.reconnect());
      });
    }
  }

  /**
   * The broker is restored in the middle, and one of its streams is an older copy. Sometimes nobody notices a break: the
   * hosts go on as they are, and start again only at the end of the weather. Not one of the services' streams: what they
   * lost before it was read was never asked of anybody.
   */
  putBackOne(lengthMs: number): void {
    const random = this.random.fork();
    const copiedMs = random.int(lengthMs / 2);
    this.clock.after(copiedMs, () => {
      const own = this.broker.streams().filter(({ settings }) => !/^in_|_letters$/.test(settings.name));
      if (own.length === 0) return;
      const stream = random.pick(own);
      const copy = stream.copy();
      this.clock.after(random.int(lengthMs - copiedMs), () => {
        if (random.chance(0.5)) for (const host of this.#hosts) host.crash({ losesDisk: random.chance(0.5) });
        this.broker.restores++;
        stream.putBack(copy);
        this.putBack = stream.settings.name;
        for (const host of this.#hosts) host.start();
      });
    });
  }
}

/** A machine: its disk outlives the process that uses it. */
export class Host {
  #cluster: Cluster;
  #stores: MemoryStores;
  #life: { readonly log: MemoryLog; readonly pipeline: Pipeline } | null = null;
  #isCutOff = false;
  #unheard: (() => void)[] = [];
  /** It follows, when it starts, rather than run anything. */
  isStandby = false;

  constructor(cluster: Cluster, stores: MemoryStores) {
    this.#cluster = cluster;
    this.#stores = stores;
  }

  start(): void {
    if (this.#life !== null) return;
    const log = this.#cluster.client();
    if (this.#isCutOff) log.cutOff();
    const pipeline = this.#cluster.pipeline(this, log, this.#stores);
    this.#life = { log, pipeline };
    if (!this.isStandby) this.#cluster.assign(this);
    pipeline.start().catch(error => {
      this.#cluster.failure ??= error;
    });
  }

  /** Frozen, it hears when it thaws, cut off, when it is there again, and dead, never. */
  hear(assignment: Assignment, delayMs: number): void {
    const life = this.#life;
    life?.log.clock.after(delayMs, () => {
      if (this.#isCutOff) this.#unheard.push(() => life.pipeline.assign(assignment));
      else life.pipeline.assign(assignment);
    });
  }

  get isFollowing(): boolean {
    return this.#life !== null && this.isStandby;
  }

  /** Parts may be its own. */
  get isOwning(): boolean {
    return this.#life !== null && !this.isStandby;
  }

  /** Who follows takes over what it follows. */
  promote(): void {
    this.isStandby = false;
    if (this.#life === null) return this.start();
    this.#cluster.promoted++;
    this.#cluster.assign(this);
  }

  get pipeline(): Pipeline | null {
    return this.#life?.pipeline ?? null;
  }

  crash({ losesDisk }: { losesDisk: boolean }): void {
    if (this.#life === null) return;
    this.#life.log.kill();
    this.#life = null;
    if (losesDisk) this.#stores.loseEverything();
    else this.#stores.crash();
  }

  /** Ends as a worker does that makes room for the next revision, and then starts it. */
  async replace(): Promise<void> {
    const life = this.#life;
    if (life === null) return;
    await life.pipeline.stop({ deadlineMs: 10_000 });
    // Killed meanwhile, it is somebody else's.
    if (this.#life !== life) return;
    this.crash({ losesDisk: false });
    this.#cluster.clock.after(1, () => this.start());
  }

  freeze(): void {
    this.#life?.log.freeze();
  }

  thaw(): void {
    this.#life?.log.thaw();
  }

  /** Its network is gone, whatever process it runs. */
  cutOff(): void {
    this.#isCutOff = true;
    this.#life?.log.cutOff();
  }

  reconnect(): void {
    this.#isCutOff = false;
    this.#life?.log.reconnect();
    for (const hear of this.#unheard.splice(0)) hear();
  }
}
