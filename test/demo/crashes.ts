/**
 * The demo's bad luck: a worker that is killed without warning again and again, and started again at once. Two of three
 * kills hit it one to three seconds after its pipeline runs again, every third while it may still be recovering.
 * The moments depend on a seed.
 */
import { AdminClient } from '../../lib/control/client.ts';
import { chance } from '../rig/chance.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';

const LEAST_MS = 1_000;
const MOST_MS = 3_000;
/** A pipeline that recovers for longer is killed all the same. */
const RECOVERY_MAX_MS = 10_000;
const POLL_MS = 50;

export class Crashes {
  kills = 0;
  private readonly worker: WorkerProcess;
  private readonly pipeline: string;
  private readonly seed: number;
  private stopped = false;
  private cutShort: (() => void) | null = null;

  constructor(worker: WorkerProcess, { pipeline, seed }: { pipeline: string; seed: number }) {
    this.worker = worker;
    this.pipeline = pipeline;
    this.seed = seed;
  }

  /** Kills until it is stopped, and leaves a worker that runs. Throws when it could not be started again. */
  async run(): Promise<void> {
    while (!this.stopped) {
      const early = this.kills % 3 === 2;
      if (!early) await this.untilItRuns();
      const share = chance(this.seed, this.kills);
      await this.wait(early ? share * LEAST_MS : LEAST_MS + share * (MOST_MS - LEAST_MS));
      if (this.stopped) return;
      await this.worker.kill();
      this.kills++;
      await this.worker.start();
    }
  }

  /** Lets the worker live. */
  stop(): void {
    this.stopped = true;
    this.cutShort?.();
  }

  private async untilItRuns(): Promise<void> {
    const client = new AdminClient({ address: this.worker.address });
    const deadlineMs = performance.now() + RECOVERY_MAX_MS;
    try {
      while (!this.stopped && performance.now() < deadlineMs) {
        const { status } = await client.get(this.pipeline);
        if (status.state === 'running') return;
        await this.wait(POLL_MS);
      }
    } finally {
      client.close();
    }
  }

  private wait(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms);
      this.cutShort = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
