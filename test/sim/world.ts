/**
 * What every simulated cluster stands on, in one process and on virtual time: the clock, the broker, the blobs, what was told,
 * and what subscribers have got. One seed is one world.
 */
import { Random } from '../../lib/base/random.ts';
import { MemoryBlobs } from '../../lib/memory/blobs.ts';
import { type ProcessClock, SimClock } from '../../lib/memory/clock.ts';
import { MemoryBroker, type MemoryLog } from '../../lib/memory/log.ts';
import { MemoryStores } from '../../lib/memory/store.ts';
import type { Event } from '../../lib/observe/events.ts';
import { HEADER_CHANGE, HEADER_TASK } from '../../lib/outlet/nats/rows-item.ts';
import type { Blobs } from '../../lib/port/blob.ts';
import type { StreamSettings } from '../../lib/port/log.ts';
import type { Plan } from '../../lib/topology/plan.ts';
import { planOrThrow } from '../../lib/topology/planner.ts';
import { lettersOf } from '../rig/letters.ts';
import type { Sent } from './story.ts';

export type Author = Parameters<typeof planOrThrow>[0];

/** As it is planned on a broker that has these streams. */
export function planOn(pipeline: Author, streams: readonly StreamSettings[]): Promise<Plan> {
  const broker = new MemoryBroker({ clock: new SimClock() });
  for (const settings of streams) broker.create(settings);
  return planOrThrow(pipeline, broker.client('planner'));
}

export class World {
  readonly clock: SimClock;
  readonly broker: MemoryBroker;
  readonly events: Event[] = [];
  /** What broke, if anything did. */
  failure: Error | null = null;
  protected readonly random: Random;
  protected readonly blobs: MemoryBlobs;
  #clients = 0;

  constructor(options: { seed: number; messageBytesMax: number }) {
    this.random = new Random(options.seed);
    this.clock = new SimClock({ random: this.random.fork() });
    this.broker = new MemoryBroker({
      clock: this.clock,
      random: this.random.fork(),
      messageBytesMax: options.messageBytesMax,
    });
    this.blobs = new MemoryBlobs({
      clock: this.clock,
      random: this.random.fork(),
      faults: { slowChance: 0.2, slowMsMax: 300, failChance: 0.02 },
    });
  }

  /** The log of a process of its own, unless its clock is given. */
  client(options: { clock?: ProcessClock } = {}): MemoryLog {
    return this.broker.client(`client-${++this.#clients}`, options);
  }

  newDisk(): MemoryStores {
    return new MemoryStores({ clock: this.clock, random: this.random.fork() });
  }

  /** The blobs as one process sees them: what it asked for comes to nobody when it is dead, and late when frozen. */
  blobsOf(clock: ProcessClock): Blobs {
    const { blobs } = this;
    const mortal = <T>(work: Promise<T>) =>
      new Promise<T>((resolve, reject) => {
        work.then(
          value => clock.soon(() => resolve(value)),
          error => clock.soon(() => reject(error)),
        );
      });
    return {
      put: (name, content) => mortal(blobs.put(name, content)),
      get: name => mortal(blobs.get(name)),
      delete: name => mortal(blobs.delete(name)),
      list: prefix => mortal(blobs.list(prefix)),
    };
  }

  /** Blobs that are never slow and never fail. */
  calmBlobs(): void {
    Object.assign(this.blobs.faults, { slowChance: 0, failChance: 0 });
  }

  blobNames(): Promise<string[]> {
    return this.clock.runThrough(this.blobs.list(''));
  }

  /** Publishes each event at its time. */
  publish(sent: readonly Sent[]): void {
    for (const { subject, value, headers, atMs } of sent) {
      this.clock.after(atMs, () => {
        const data = value === null ? new Uint8Array() : Buffer.from(JSON.stringify(value));
        this.broker.land([{ subject, data, ...(headers === undefined ? {} : { headers }) }], false);
      });
    }
  }

  /**
   * What subscribers of an output stream have got after a sequence, in order: rows as JSON texts, with `changes` each with its
   * letter.
   */
  rows(stream: string, { changes = false, afterSeq = 0 } = {}): string[] {
    const kept = this.broker.stream(stream);
    const rows: string[] = [];
    for (let seq = afterSeq + 1; kept !== null && seq <= kept.info().lastSeq; seq++) {
      const message = kept.at(seq);
      if (message?.headers?.[HEADER_TASK] === undefined) continue;
      const lines = Buffer.from(message.data).toString().split('\n').filter(Boolean);
      const letters = message.headers[HEADER_CHANGE] ?? '';
      lines.forEach((line, i) => void rows.push(changes ? line + (letters[i] ?? 'i') : line));
    }
    return rows;
  }

  /** How many letters a stream has. */
  lettersIn(stream: string): number {
    const kept = this.broker.stream(stream);
    if (kept === null) return 0;
    const messages = Array.from({ length: kept.lastSeq }, (_, i) => kept.at(i + 1)).filter(one => one !== null);
    return lettersOf(messages).length;
  }
}
