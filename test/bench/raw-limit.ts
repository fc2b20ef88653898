/**
 * The raw limit of a run: what reading the same input and writing as many messages of the same size costs with no engine
 * in between, by the relay in a process of its own, on the broker that has just served the run.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { RelayResult, RelayTask } from './relay.ts';
import type { Scene } from './scene.ts';
import { meterCpu } from './usage.ts';

const execute = promisify(execFile);
const RELAY = fileURLToPath(new URL('relay.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SUBJECT = 'raw.limit';
const STREAM = 'raw_limit';

export interface RawLimit {
  /** Events read for each second of CPU that the relay and the broker used. */
  readonly eventsPerCpuSecond: number;
  readonly wallSeconds: number;
}

/** @param like the input, and the stream of results of the run, whose count and mean size are copied. */
export async function measureRawLimit(
  scene: Scene,
  like: { inputs: readonly string[]; output: string; eventsRead: number },
): Promise<RawLimit> {
  const manager = await scene.connection.jetstreamManager();
  const { messages, bytes } = (await manager.streams.info(like.output)).state;
  await manager.streams.add({ name: STREAM, subjects: [SUBJECT] });
  const task: RelayTask = {
    url: scene.broker.url,
    streams: like.inputs,
    subject: SUBJECT,
    messages,
    bytes: messages === 0 ? 0 : Math.round(bytes / messages),
  };
  const meter = meterCpu([scene.broker.pid]);
  try {
    const flags = ['--import', 'tsx', RELAY, JSON.stringify(task)];
    const { stdout } = await execute(process.execPath, flags, { cwd: ROOT });
    const { fromMs, toMs, cpuMs } = JSON.parse(stdout) as RelayResult;
    const [brokerMs = 0] = meter.between(fromMs, toMs);
    return {
      eventsPerCpuSecond: Math.round((like.eventsRead * 1_000) / Math.max(cpuMs + brokerMs, 1)),
      wallSeconds: Math.round(toMs - fromMs) / 1_000,
    };
  } finally {
    meter.stop();
    await manager.streams.delete(STREAM);
  }
}
