/**
 * What processes use, read from Linux's /proc: processor time (children and threads included), memory, bytes written to
 * disk. A meter samples while a run goes on, so that the processor time at any moment of it can be asked for afterwards:
 * the moment of the last output is known only when the outputs are read back.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Clock ticks per second in /proc; USER_HZ is 100 on every architecture that Node runs on. */
const TICK_MS = 10;

export interface Sample {
  /** Wall clock, ms since 1970. */
  readonly atMs: number;
  /** Processor time used so far, ms; user and system. */
  readonly cpuMs: readonly number[];
}

export interface CpuMeter {
  /** Processor time of each process in ms between two moments (ms since 1970), interpolated. */
  between(fromMs: number, toMs: number): number[];
  stop(): void;
}

/** Meters processes and their children. Throws when there is no /proc or a process does not live. */
export function meterCpu(pids: readonly number[], { everyMs = 50 }: { everyMs?: number } = {}): CpuMeter {
  const samples: Sample[] = [sample(pids)];
  const timer = setInterval(() => {
    try {
      samples.push(sample(pids));
    } catch (error) {
      // A process that has ended uses nothing more; whoever needed it knows.
      if (!isGone(error)) throw error;
      clearInterval(timer);
    }
  }, everyMs);
  return {
    between: (fromMs, toMs) => pids.map((_, i) => cpuAt(samples, i, toMs) - cpuAt(samples, i, fromMs)),
    stop: () => clearInterval(timer),
  };
}

/** The usage of process `index` at a moment, on the line between the two samples around it. */
export function cpuAt(samples: readonly Sample[], index: number, atMs: number): number {
  const after = samples.findIndex(sample => sample.atMs >= atMs);
  if (after === -1) return samples[samples.length - 1]?.cpuMs[index] ?? 0;
  const right = samples[after]!;
  const left = samples[Math.max(after - 1, 0)]!;
  if (right.atMs === left.atMs) return right.cpuMs[index]!;
  const share = (atMs - left.atMs) / (right.atMs - left.atMs);
  return left.cpuMs[index]! + Math.max(share, 0) * (right.cpuMs[index]! - left.cpuMs[index]!);
}

function sample(pids: readonly number[]): Sample {
  return { atMs: Date.now(), cpuMs: pids.map(cpuMsOfFamily) };
}

/** A process and its descendants; a child that has ended in the meantime no longer counts. */
function cpuMsOfFamily(pid: number): number {
  let cpuMs = cpuMsOf(pid);
  const family = childrenOf(pid);
  for (let i = 0; i < family.length; i++) {
    try {
      cpuMs += cpuMsOf(family[i]!);
      family.push(...childrenOf(family[i]!));
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
  return cpuMs;
}

/** User and system time from /proc/PID/stat, fields 14 and 15; the name in field 2 may hold spaces and brackets. */
export function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** The most memory that the process has held, bytes. */
export function peakBytesOf(pid: number): number {
  return statusOf(pid, 'VmHWM');
}

/** The memory that the process holds, bytes. */
export function residentBytesOf(pid: number): number {
  return statusOf(pid, 'VmRSS');
}

function statusOf(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
}

/** What the process has written to files that lie on a disk, bytes. */
export function writtenBytesOf(pid: number): number {
  return Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1] ?? 0);
}

/** What lies in a folder and below, bytes. Files that vanish meanwhile do not count. */
export function folderBytes(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    bytes += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

/** Children that the main thread has started, which in Node is every one. */
function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  return children === '' ? [] : children.split(' ').map(Number);
}

/** The process has ended: its files vanish (ENOENT), or reading an open one fails (ESRCH). */
function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH');
}
