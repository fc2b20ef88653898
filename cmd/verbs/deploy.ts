/**
 * `deploy`: makes a file the newest revision of its pipeline, waits until that runs, and says on standard error how far it is.
 */
import type { Command } from 'commander';
import { sleep, systemClock } from '../../lib/base/clock.ts';
import { durationMs } from '../../lib/base/duration.ts';
import { isMillraceError, MillraceError } from '../../lib/base/errors.ts';
import type { AdminClient, PipelineInfo } from '../../lib/control/client.ts';
import { Ended, endingOf } from '../exit.ts';
import { bytes, print } from '../output.ts';
import { type Around, asking, bundled, formatOf, makeCommand, type Options, printing, withClient } from './common.ts';

const LOOK_MS = 250;
/** So long nobody may answer while we wait: a worker that takes over needs some five seconds. */
const AWAY_MS = 30_000;

export function deployVerb(around: Around): Command {
  const command = makeCommand(
    'deploy',
    'Deploy a pipeline, or a new revision of it, and wait until it runs. The same again changes nothing.',
    ['millrace deploy src/pipeline.ts'],
    ['millrace deploy -f src/pipeline.ts --dry-run', 'would it be accepted?'],
    ['millrace deploy src/pipeline.ts --context prod --timeout 5m'],
    ['millrace deploy src/pipeline.ts --take-over', 'its output subjects were those of a pipeline that is gone'],
  )
    .argument('[file]', 'the pipeline, e.g. src/pipeline.ts')
    .option('-f, --file <file>', 'the same as the argument')
    .option('--dry-run', 'check everything, change nothing')
    .option('--take-over', 'take output subjects that another pipeline has left, and no longer writes to');
  return asking(printing(waiting(command))).action(async (argument: string | undefined, options: Options) => {
    const { terminal } = around;
    const file = fileOf(argument, options.file);
    const dryRun = options.dryRun === true;
    const takeOver = options.takeOver === true;
    const timeoutMs = timeoutOf(options);
    terminal.err(`bundling ${file}\n`);
    const bundle = await bundled(file);
    await withClient(around, options, async client => {
      terminal.err(`uploading ${bytes(bundle.code.length)}\n`);
      const answer = await client.deploy(bundle, { dryRun, takeOver });
      for (const notice of answer.notices) terminal.err(`${notice}\n`);
      const { name, revision } = answer;
      const wait = !dryRun && options.wait !== false;
      const state = wait ? await untilRunning({ around, client, name, revision, timeoutMs }) : null;
      print(terminal, formatOf(options).output, answer, () => {
        const done = `pipeline ${name} ${answer.outcome} (revision ${revision})`;
        if (state === 'paused') return `${done}; it stays paused, to run it: millrace resume ${name}`;
        return dryRun ? `${done}: dry run, nothing was changed` : done;
      });
    });
  });
}

function fileOf(argument: string | undefined, flag: unknown): string {
  if (argument !== undefined && typeof flag === 'string' && flag !== argument) {
    throw new MillraceError('INVALID_ARGUMENT', `there are two files, ${argument} and ${flag}; deploy them one by one`);
  }
  const file = argument ?? flag;
  if (typeof file === 'string') return file;
  throw new MillraceError('INVALID_ARGUMENT', 'which file? give it, e.g. millrace deploy src/pipeline.ts');
}

/** Adds the options of verbs that wait until a pipeline runs, or what `until` says; they do unless told otherwise. */
export function waiting(command: Command, until = 'it runs'): Command {
  return command
    .option('--wait', `wait until ${until} (the default)`)
    .option('--no-wait', `do not wait until ${until}`)
    .option('--timeout <duration>', 'how long to wait, e.g. 90s or 5m', '2m');
}

export function timeoutOf(options: Options): number {
  return durationMs(String(options.timeout), '--timeout');
}

interface Waiting {
  readonly around: Around;
  readonly client: AdminClient;
  readonly name: string;
  readonly revision: number;
  readonly timeoutMs: number;
}

/**
 * Waits until this revision runs on all workers that have a part of it, or is paused. Throws Ended: it failed, it was changed
 * or deleted meanwhile, it took too long. A worker that is replaced meanwhile is waited for. Resolves with what it has come to.
 */
export function untilRunning(options: Waiting): Promise<'running' | 'paused'> {
  return until({ ...options, what: 'run' });
}

/** Waits until it has stopped everywhere. Throws Ended. */
export async function untilPaused(options: Waiting): Promise<void> {
  await until({ ...options, what: 'rest' });
}

async function until(options: Waiting & { readonly what: 'run' | 'rest' }): Promise<'running' | 'paused'> {
  const { around, client, name, revision, timeoutMs, what } = options;
  const deadlineMs = performance.now() + timeoutMs;
  let said = '';
  let awaySinceMs: number | null = null;
  while (true) {
    let pipeline: PipelineInfo | null = null;
    try {
      pipeline = await client.get(name);
      awaySinceMs = null;
    } catch (error) {
      if (!isMillraceError(error) || endingOf(error.code) !== 'unreachable') throw error;
      awaySinceMs ??= performance.now();
      if (performance.now() - awaySinceMs > Math.min(AWAY_MS, timeoutMs)) throw error;
    }
    if (pipeline !== null) {
      if (pipeline.revision !== revision) {
        throw new Ended(
          'failed',
          `pipeline ${name} is at revision ${pipeline.revision} by now: somebody has changed it`,
        );
      }
      const { state, reason } = pipeline.status;
      if (what === 'run' && state === 'failed') throw new Ended('failed', `pipeline ${name} has failed: ${reason}`);
      const progress = progressOf(pipeline);
      if (progress !== said) around.terminal.err(`${progress}\n`);
      said = progress;
      if (what === 'run' && state === 'running' && restored(pipeline).done) return state;
      if (state === 'paused') return state;
    }
    if (performance.now() > deadlineMs) {
      const where = said === '' ? '' : `, it is still ${said}`;
      throw new Ended(
        'timeout',
        `pipeline ${name} does not ${what} yet${where}; it goes on, look with: millrace get ${name}`,
      );
    }
    await sleep(systemClock, LOOK_MS);
  }
}

function restored({ status }: PipelineInfo): { readonly count: number; readonly done: boolean } {
  const running = status.tasks.filter(task => task.state === 'running').length;
  return { count: running, done: running === status.tasks.length };
}

function progressOf(pipeline: PipelineInfo): string {
  const { state, reason, tasks } = pipeline.status;
  const restoring = state === 'restoring' || (state === 'running' && !restored(pipeline).done);
  if (restoring) return `restoring ${restored(pipeline).count}/${tasks.length} tasks`;
  return reason === null ? state : `${state}: ${reason}`;
}
