/** Who sends hostile messages, seen from outside his thread (`foe-thread.ts`): what he is told, and what he says. */
import { Worker } from 'node:worker_threads';

export interface FoeOrder {
  readonly url: string;
  readonly seed: number;
  readonly perSecond: number;
}

/** What it says every second; the last time when everything is as it must be, or nothing has come for long. */
export interface FoeReport {
  readonly messages: number;
  readonly letters: number;
  readonly ahead: number;
  /** What is wrong, once it has ended; null: it goes on. */
  readonly wrong: readonly string[] | null;
}

export class Foe {
  report: FoeReport = { messages: 0, letters: 0, ahead: 0, wrong: null };
  /** Resolves with what is wrong. */
  readonly ended: Promise<readonly string[]>;
  readonly #thread: Worker;

  constructor(order: FoeOrder) {
    const file = new URL('./foe-thread.ts', import.meta.url).href;
    this.#thread = new Worker(new URL('../rig/apart.mjs', import.meta.url), { workerData: { ...order, file } });
    this.ended = new Promise((resolve, reject) => {
      this.#thread.on('message', (report: FoeReport) => {
        this.report = report;
        if (report.wrong !== null) resolve(report.wrong);
      });
      this.#thread.once('error', reject);
      this.#thread.once('exit', code => reject(new Error(`who sends hostile messages has ended with code ${code}`)));
    });
  }

  /** It sends no more, and says what has become of what it has sent. */
  end(): void {
    this.#thread.postMessage('end');
  }

  async stop(): Promise<void> {
    await this.#thread.terminate();
  }
}
