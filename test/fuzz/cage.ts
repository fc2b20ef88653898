/**
 * A control group of Linux that bounds the memory of a process and all that it starts, in either of the two versions; where
 * there is none that may be made, what Node itself bounds. Whoever needs more than there is is killed.
 */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../lib/base/errors.ts';

/** What Node's heap may take of it: the rest is for what lies outside of that. */
const HEAP_SHARE = 0.6;

export interface Cage {
  /** How it is bounded, as a text for people. */
  readonly means: string;
  /** Where a process writes its number to be bounded with all that it starts; null: it is not. */
  readonly procs: string | null;
  readonly env: NodeJS.ProcessEnv;
  /** The most that was taken at a time, MiB; null: nobody knows. */
  peakMb(): number | null;
  remove(): void;
}

/** Both versions, by where they lie and what their files are called. */
const VERSIONS = [
  {
    root: '/sys/fs/cgroup/memory',
    limits: (bytes: number) => ({ 'memory.limit_in_bytes': bytes }),
    peak: 'memory.max_usage_in_bytes',
  },
  {
    root: '/sys/fs/cgroup',
    limits: (bytes: number) => ({ 'memory.max': bytes, 'memory.swap.max': 0 }),
    peak: 'memory.peak',
  },
];

export function makeCage(memoryMb: number): Cage {
  const why: string[] = [];
  for (const { root, limits, peak } of VERSIONS) {
    const folder = join(root, `millrace-fuzz-${process.pid}`);
    try {
      // A folder there makes its files by itself; elsewhere there are none to write to.
      readFileSync(join(root, 'cgroup.procs'));
      mkdirSync(folder);
      try {
        for (const [file, value] of Object.entries(limits(memoryMb << 20))) {
          writeFileSync(join(folder, file), String(value), { flag: 'r+' });
        }
      } catch (error) {
        rmdirSync(folder);
        throw error;
      }
    } catch (error) {
      why.push(messageOf(error));
      continue;
    }
    return {
      means: `${memoryMb} MiB for the whole process, by ${folder}`,
      procs: join(folder, 'cgroup.procs'),
      env: {},
      peakMb: () => Math.round(Number(readFileSync(join(folder, peak), 'utf8')) / 2 ** 20),
      remove: () => rmdirSync(folder),
    };
  }
  const heapMb = Math.floor(memoryMb * HEAP_SHARE);
  return {
    means: `${heapMb} MiB of heap for each thread; no control group could be made (${why.join('; ')})`,
    procs: null,
    env: { NODE_OPTIONS: `--max-old-space-size=${heapMb}` },
    peakMb: () => null,
    remove: () => {},
  };
}
