/**
 * The demo's bad luck: a worker that is killed without warning again and again, one to three seconds after it has come
 * up, and started again at once. The moments depend on a seed.
 */
import { chance } from '../rig/chance.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';

const LEAST_MS = 1_000;
const MOST_MS = 3_000;

export class Crashes {
  kills = 0;
  private readonly worker: WorkerProcess;
  private readonly seed: number;
  private stopped = false;
  private cutShort: (() => void) | null = null;
  private going: Promise<void> | null = null;

  constructor(worker: WorkerProcess, { seed }: { seed: number }) {
    this.worker = worker;
    this.seed = seed;
  }

  start(): void {
    this.going = this.run();
  }

  /** Lets the worker live. Resolves when it runs; throws when it could not be started again. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.cutShort?.();
    await this.going;
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      await this.wait(LEAST_MS + chance(this.seed, this.kills) * (MOST_MS - LEAST_MS));
      if (this.stopped) return;
      await this.worker.kill();
      this.kills++;
      await this.worker.start();
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
