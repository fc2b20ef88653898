/**
 * An engine without a worker around it: one pipeline with every task of it, on a real broker and a real disk, with limits
 * as small as a test wants them. In this process, or (this file run as a program) in one that can be killed; then each
 * event is a line of JSON on standard output. The program ends when the test does, since its standard input is a pipe.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Clock, systemClock } from '../../lib/base/clock.ts';
import { Random } from '../../lib/base/random.ts';
import { type Pipeline, startPipeline } from '../../lib/engine/pipeline.ts';
import { LevelStores } from '../../lib/level/stores.ts';
import { openBlobs } from '../../lib/nats/blobs.ts';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import type { Event } from '../../lib/observe/events.ts';
import type { TaskLimits } from '../../lib/task/surroundings.ts';
import type { Assignment } from '../../lib/topology/parts.ts';
import { planOrThrow } from '../../lib/topology/planner.ts';
import { eventually } from './scene.ts';
import story from './story.ts';

const SELF = fileURLToPath(import.meta.url);

export interface EngineOptions {
  readonly natsUrl: string;
  /** Where the local stores are; one engine at a time. */
  readonly dataDir: string;
  readonly limits: Partial<TaskLimits>;
  /** The file of the pipeline, which is its default; absent: `story.ts`. */
  readonly file?: string;
}

export async function startEngine(
  options: EngineOptions & { emit: (event: Event) => void; clock?: Clock; assignment?: Assignment },
): Promise<{ pipeline: Pipeline; stop(): Promise<void> }> {
  const link = await connectNats({ servers: options.natsUrl });
  const log = new NatsLog(link);
  const around = {
    log,
    blobs: await openBlobs(link, { bucket: 'millrace' }),
    stores: new LevelStores({ root: options.dataDir }),
    clock: options.clock ?? systemClock,
    random: new Random(randomBytes(4).readUInt32LE()),
    observer: { emit: options.emit },
  };
  const made = options.file === undefined ? story : ((await import(options.file)) as { default: typeof story }).default;
  const { limits, assignment } = options;
  const plan = await planOrThrow(made, log);
  const pipeline = await startPipeline({ plan, around, limits, ...(assignment === undefined ? {} : { assignment }) });
  return {
    pipeline,
    async stop() {
      await pipeline.stop({ deadlineMs: 10_000 });
      await link.close();
    },
  };
}

export class EngineProcess {
  /** What all its lives have told. */
  readonly events: Event[] = [];
  readonly #options: EngineOptions;
  #child: ChildProcess | null = null;
  #said = '';

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  start(): void {
    const child = spawn(process.execPath, ['--import', 'tsx', SELF, JSON.stringify(this.#options)], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child = child;
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.events.push(JSON.parse(line) as Event);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#said += text));
  }

  /** Waits for an event of the life that it is in. */
  async until(event: string, from = this.events.length): Promise<void> {
    await eventually(
      `the engine says ${event}`,
      () => {
        if (this.#child?.exitCode != null) throw new Error(`the engine has ended: ${this.#said.slice(-2_000)}`);
        return this.events.slice(from).some(one => one.event === event);
      },
      () => this.#said.slice(-2_000) + JSON.stringify(this.events.slice(-3)),
    );
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    const gone = new Promise(resolve => child.once('close', resolve));
    child.kill('SIGKILL');
    await gone;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.stdin.on('end', () => process.exit()).resume();
  const options = JSON.parse(process.argv[2] ?? '') as EngineOptions;
  const emit = (event: Event) => process.stdout.write(`${JSON.stringify(event)}\n`);
  const { pipeline } = await startEngine({ ...options, emit });
  emit({ event: 'engine.started', level: 'info' });
  const failure = await pipeline.failed;
  process.stderr.write(`${failure.code} ${failure.message}\n`);
  process.exitCode = 1;
}
