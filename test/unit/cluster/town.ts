/**
 * Members on virtual time, each a process with a clock of its own, that runs fast or slow and began anywhere. What each says of the
 * others is written down.
 */
import type { Clock } from '../../../lib/base/clock.ts';
import { Random } from '../../../lib/base/random.ts';
import { Members } from '../../../lib/cluster/members.ts';
import type { MemberSays } from '../../../lib/cluster/says.ts';
import type { Patience } from '../../../lib/cluster/standing.ts';
import { ProcessClock, SimClock } from '../../../lib/memory/clock.ts';
import { type MemoryPeers, PeerExchange, type PeerFaults } from '../../../lib/memory/peers.ts';

export function says(name: string, change: Partial<MemberSays> = {}): MemberSays {
  const own = { name, instance: `${name}1`, zone: 'z', version: '1', draining: false };
  return { ...own, term: 1, capacity: 1, busy: 0.5, owned: 3, warm: 0, ...change };
}

/** One that began elsewhere, and counts so many ms for each that passes. */
class ApartClock implements Clock {
  readonly #clock: Clock;
  readonly #offsetMs: number;
  readonly #rate: number;

  constructor(clock: Clock, options: { readonly offsetMs: number; readonly rate: number }) {
    this.#clock = clock;
    this.#offsetMs = options.offsetMs;
    this.#rate = options.rate;
  }

  now(): number {
    return this.#clock.now() + this.#offsetMs;
  }

  monotonic(): number {
    return this.#clock.monotonic() * this.#rate + this.#offsetMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.#clock.after(delayMs / this.#rate, callback);
  }

  soon(callback: () => void): void {
    this.#clock.soon(callback);
  }
}

export interface Citizen {
  readonly name: string;
  readonly process: ProcessClock;
  readonly peers: MemoryPeers;
  readonly members: Members;
  says: MemberSays;
  /** What it was told, `kind name`, and when. */
  readonly told: { readonly what: string; readonly atMs: number }[];
}

export class Town {
  readonly clock: SimClock;
  readonly exchange: PeerExchange;
  readonly #random: Random;
  readonly #patience: Patience | undefined;

  constructor(options: { readonly seed?: number; readonly faults?: PeerFaults; readonly patience?: Patience } = {}) {
    this.#random = new Random(options.seed ?? 1);
    this.clock = new SimClock({ random: this.#random.fork() });
    const faults = options.faults ?? { delayMs: [0.2, 3] as const };
    this.exchange = new PeerExchange({ clock: this.clock, random: this.#random.fork(), faults });
    this.#patience = options.patience;
  }

  /** A process of that name begins. */
  join(name: string, change: Partial<MemberSays> = {}): Citizen {
    const offsetMs = this.#random.between(0, 1e9);
    const apart = new ApartClock(this.clock, { offsetMs, rate: this.#random.between(0.95, 1.05) });
    const process = new ProcessClock(apart);
    const peers = this.exchange.client(name, { clock: process });
    const citizen: Citizen = { name, process, peers, says: says(name, change), told: [], members: null! };
    const patience = this.#patience === undefined ? {} : { patience: this.#patience };
    const members = new Members({ clock: process, peers, says: () => citizen.says, ...patience });
    members.onChange(change => {
      const what = 'name' in change ? `${change.kind} ${change.name}` : change.kind;
      citizen.told.push({ what, atMs: this.clock.monotonic() });
    });
    Object.assign(citizen, { members });
    members.start();
    return citizen;
  }

  /** So many, that have known each other for long enough to believe what they hear. */
  async settled(count: number): Promise<Citizen[]> {
    const citizens = Array.from({ length: count }, (_, i) => this.join(`m${i}`));
    await this.pass(5_000);
    for (const { told } of citizens) told.length = 0;
    return citizens;
  }

  async pass(ms: number): Promise<void> {
    await this.clock.run(this.clock.monotonic() + ms);
  }
}

export function aliveTo({ members }: Citizen): string[] {
  return members.alive().map(({ name }) => name);
}

/** How long after `fromMs` it was told so; undefined: never. */
export function toldAfter({ told }: Citizen, what: string, fromMs: number): number | undefined {
  const found = told.find(one => one.what === what && one.atMs >= fromMs);
  return found === undefined ? undefined : found.atMs - fromMs;
}

export function whatOf({ told }: Citizen): string[] {
  return told.map(({ what }) => what);
}
