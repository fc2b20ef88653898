/**
 * What an answer to a publish says, and whether it is the broker's at all: pure. A publish names where its answer is to
 * go, so whoever subscribes to its subject can answer, too. Of what arrives only that counts which can be the stream's
 * own; the rest is passed over, and waiting goes on. A leaf node's JetStream may keep a stream of the same name on the same
 * subjects: its answers name its own domain. Refusals name none, so its refusals are taken for the stream's.
 *
 * What looks like the stream's own and is not cannot be told from it; only permissions keep strangers from answering.
 * What it can do is little where there is a fence. A refusal by one (10071) is never believed: the last message is read.
 * A sequence must lie beyond the fence, and whoever goes on from a false one is refused by the real stream, and reads.
 * Without a fence a false answer is believed.
 */
import type { Append } from '../port/log.ts';
import { textOf } from './headers.ts';
import { type ApiFailure, failureOf, judgeRefusal, WRONG_LAST_SEQUENCE } from './refusal.ts';

/** What the stream's own answer to a publish must fit. */
export interface Expected {
  readonly stream: string;
  /** The JetStream domain that it is in; null: in none. */
  readonly domain: string | null;
  /** The last sequence that a fence names; null: there is no fence. */
  readonly fence: number | null;
  /** The id of a batch, and how many messages it has; null: it is no batch. */
  readonly batch: { readonly id: string; readonly count: number } | null;
}

interface Ack {
  readonly error?: unknown;
  readonly stream?: unknown;
  readonly domain?: unknown;
  readonly seq?: unknown;
  readonly batch?: unknown;
  readonly count?: unknown;
}

/** The answer to a publish on `subject`. Null: it cannot be the stream's. Throws what retrying cannot mend. */
export function judgeAck(data: Uint8Array, subject: string, expected: Expected): Append | null {
  const ack = objectIn(data) as Ack | null;
  if (ack === null) return null;
  const { stream, domain, fence, batch } = expected;
  if (ack.error !== undefined) return judgeFailure(ack, subject, expected);
  const { seq } = ack;
  if (ack.stream !== stream || (ack.domain ?? null) !== domain || !Number.isSafeInteger(seq)) return null;
  const first = (seq as number) - (batch?.count ?? 1) + 1;
  if (first <= (fence ?? 0)) return null;
  if (batch !== null && (ack.batch !== batch.id || ack.count !== batch.count)) return null;
  return { kind: 'landed', seq: seq as number };
}

/** Where a server has no stream to speak of, its refusal names none. */
function judgeFailure(ack: Ack, subject: string, { stream, domain, fence }: Expected): Append | null {
  const failure: ApiFailure | null = failureOf(ack.error);
  if (failure === null || (ack.stream !== undefined && ack.stream !== stream)) return null;
  if (failure.err_code === WRONG_LAST_SEQUENCE && fence === null) return null;
  const place =
    domain === null ? subject : `${subject} (JetStream domain ${domain}, or a leaf node's that keeps it, too)`;
  return judgeRefusal(failure, place);
}

/** The JSON object in an answer; null: there is none. */
export function objectIn(data: Uint8Array): object | null {
  try {
    const value: unknown = JSON.parse(textOf(data));
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}
