/** What a reader asks about its stream and single messages of it, beside the feed that brings them. */

import { isoTimeMs } from '../window/iso-time.ts';
import { ask } from './api.ts';
import type { NatsLink } from './connection.ts';
import { errorOf, isMissing, NO_MESSAGE } from './refusal.ts';
import type { WireMessage, WireStreamInfo } from './streams.ts';

/** Nobody waits for a look: when it fails, the next one will do. */
export const LOOK_PATIENCE_MS = 2_000;

export async function infoOf(link: NatsLink, stream: string, patienceMs?: number): Promise<WireStreamInfo> {
  const topic = `STREAM.INFO.${stream}`;
  const options = patienceMs === undefined ? {} : { patienceMs };
  const answer = await ask<WireStreamInfo>(link, topic, undefined, options);
  if (answer.error !== undefined) throw errorOf(answer.error, topic);
  return answer;
}

/** Whether something that matches lies between the two sequences, both included. */
export async function isUnread(
  link: NatsLink,
  stream: string,
  { subjects, from, to }: { subjects: readonly string[] | null; from: number; to: number },
): Promise<boolean> {
  for (const subject of subjects ?? ['>']) {
    const question = { seq: from, next_by_subj: subject };
    const topic = `STREAM.MSG.GET.${stream}`;
    const answer = await ask<WireMessage>(link, topic, question, { patienceMs: LOOK_PATIENCE_MS });
    if (answer.error === undefined ? answer.message.seq <= to : answer.error.err_code !== NO_MESSAGE) return true;
  }
  return false;
}

/** Whether another message is where the one was that was stored then. One that is gone tells nothing. */
export async function isAnother(
  link: NatsLink,
  stream: string,
  { seq, timeMs }: { seq: number; timeMs: number },
): Promise<boolean> {
  const topic = `STREAM.MSG.GET.${stream}`;
  const answer = await ask<WireMessage>(link, topic, { seq });
  if (answer.error === undefined) return isoTimeMs(answer.message.time) !== timeMs;
  if (isMissing(answer.error)) return false;
  throw errorOf(answer.error, topic);
}
