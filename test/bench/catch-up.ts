/**
 * Watching a pipeline catch up from outside, at next to no cost: when it first reads its input, and when its output is
 * complete. Nobody reads the output meanwhile, since that would be charged to the broker.
 */
import type { NatsConnection } from 'nats';
import { lastSequenceOf, readAll, streamOf } from '../rig/subscriber.ts';
import { pause } from './scene.ts';

const POLL_MS = 100;
const LOOK_MS = 25;
/** The output has ended when it is complete and nothing has come for so long. */
export const QUIET_MS = 1_000;
/** It is given up when nothing has come for so long. */
const STALLED_MS = 30_000;

/**
 * Notes the last moment at which no reader had turned up at an input stream: nothing can have been read before, and what
 * is charged too much lies within one look.
 */
export function watchFirstRead(connection: NatsConnection, streams: readonly string[]): { stop(): Promise<number> } {
  let stopped = false;
  const watch = async (): Promise<number> => {
    const manager = await connection.jetstreamManager();
    let unreadMs = Date.now();
    while (!stopped) {
      const askedMs = Date.now();
      for (const stream of streams) {
        const { state } = await manager.streams.info(stream);
        if (state.consumer_count > 0) return unreadMs;
      }
      unreadMs = askedMs;
      await pause(LOOK_MS);
    }
    throw new Error('nobody was seen to read the input');
  };
  const first = watch();
  first.catch(() => 'told to whoever stops it; a run that fails before has another reason');
  return {
    stop() {
      stopped = true;
      return first;
    },
  };
}

export interface Output {
  /** Null: there never was one. */
  readonly stream: string | null;
  /** When the last row that counts was stored, ms since 1970. */
  readonly lastStoredMs: number;
}

/**
 * Waits, without reading, until the output falls quiet; reads it; goes on waiting as long as rows are missing.
 * @param options.take given each row; false: it does not count
 * @param options.complete whether enough rows have been taken
 */
export async function awaitOutput(
  connection: NatsConnection,
  options: { subject: string; take(row: string): boolean; complete(): boolean },
): Promise<Output> {
  const { subject, take, complete } = options;
  let lastStoredMs = 0;
  let readTo = 0;
  let movedMs = Date.now();
  let lastSeq = 0;
  for (;;) {
    const stream = await streamOf(connection, subject);
    const seq = stream === null ? 0 : await lastSequenceOf(connection, stream);
    if (seq > lastSeq) {
      lastSeq = seq;
      movedMs = Date.now();
    }
    const quietMs = Date.now() - movedMs;
    if (stream !== null && quietMs > QUIET_MS && readTo < lastSeq) {
      readTo = await readAll(connection, {
        stream,
        subject,
        from: readTo + 1,
        arrived({ row, storedMs }) {
          if (take(row)) lastStoredMs = Math.max(lastStoredMs, storedMs);
        },
      });
      // Reading millions of rows takes its time; only from here on can it be told whether more are coming.
      movedMs = Date.now();
      continue;
    }
    if ((complete() && readTo === lastSeq && quietMs > QUIET_MS) || quietMs > STALLED_MS)
      return { stream, lastStoredMs };
    await pause(POLL_MS);
  }
}
