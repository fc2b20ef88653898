/** What a bench found out, as one JSON value: what `--out` writes, `--compare` reads, and tables and pictures are made of. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { messageOf } from '../../lib/base/errors.ts';
import { findBroker } from '../rig/broker.ts';
import type { RecoveryResult } from './recovery.ts';
import type { RunResult } from './run.ts';
import type { StateResult } from './state.ts';

const FORMAT = 1;

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly node: string;
  readonly natsServer: string;
}

export interface Results {
  readonly format: typeof FORMAT;
  /** When it began, ISO 8601. */
  readonly at: string;
  /** The program's version, and its commit if it was made in a clone. */
  readonly version: string;
  readonly commit: string | null;
  readonly machine: Machine;
  readonly queries: RunResult[];
  readonly recovery: RecoveryResult[];
  readonly state: StateResult[];
}

/** Results without any yet. */
export async function beginResults(): Promise<Results> {
  const root = new URL('../..', import.meta.url);
  const { version } = JSON.parse(await readFile(new URL('package.json', root), 'utf8')) as { version: string };
  const { version: natsServer } = await findBroker(() => {});
  const [cpu] = cpus();
  return {
    format: FORMAT,
    at: new Date().toISOString(),
    version,
    commit: await commitOf(root),
    machine: {
      cpu: cpu?.model.trim() ?? 'unknown',
      cores: cpus().length,
      memoryGb: Math.round(totalmem() / 2 ** 30),
      node: process.versions.node,
      natsServer,
    },
    queries: [],
    recovery: [],
    state: [],
  };
}

/** Throws when the file cannot be read or is not of this format. */
export async function readResults(file: string): Promise<Results> {
  let results: Results;
  try {
    results = JSON.parse(await readFile(file, 'utf8')) as Results;
  } catch (error) {
    throw new Error(`${file} cannot be read as results: ${messageOf(error)}`, { cause: error });
  }
  if (results?.format === FORMAT) return results;
  throw new Error(`${file} does not hold results of this bench; make it with --out`);
}

export function allCorrect(results: Results): boolean {
  return [...results.queries, ...results.recovery, ...results.state].every(({ correct }) => correct);
}

/** With `-dirty` when files differ from it; null outside of a clone or without git, which is no error. */
async function commitOf(root: URL): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)('git', ['describe', '--always', '--dirty', '--exclude', '*'], {
      cwd: root,
    });
    return stdout.trim();
  } catch {
    return null;
  }
}
