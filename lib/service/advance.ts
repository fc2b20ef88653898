/**
 * Advancing a source: a heartbeat on behalf of its senders, in its own stream, so that every pipeline which reads that
 * stream hears the same, a replay years later too. It is published as a service would, on a subject that the source reads.
 */
import { MillraceError } from '../base/errors.ts';
import type { PipelineSpec } from '../cluster/specs.ts';
import type { Log } from '../port/log.ts';
import { overlaps } from '../record/subject.ts';
import { HEADER_COMPLETE } from '../source/heartbeat.ts';
import { type SourceSummary, streamsOfSummary } from '../topology/summary.ts';

export interface Heartbeat {
  readonly stream: string;
  readonly subject: string;
  readonly seq: number;
}

/** In the place of wildcards. */
const TOKEN = 'complete';
const TRIES_MAX = 5;

/** @param about.to ISO time, or `end`. Throws NOT_FOUND (no such source), INVALID_ARGUMENT (nobody can publish there), BROKER_UNAVAILABLE, and what the broker refuses. */
export async function advanceSource(
  log: Pick<Log, 'append' | 'info'>,
  spec: Pick<PipelineSpec, 'name' | 'summary'>,
  about: { source: string; to: string },
): Promise<Heartbeat> {
  const { stream, subject: filter } = sourceOf(spec, about.source);
  const { subjects = [] } = (await log.info(stream)) ?? {};
  const subject = subjects.map(own => common(filter, own)).find(found => found !== null);
  if (subject === undefined) {
    const text = `stream ${stream} lists nothing of ${filter} (it is a mirror, or a copy): send ${HEADER_COMPLETE} where its messages come from`;
    throw new MillraceError('INVALID_ARGUMENT', text);
  }
  let cause: unknown;
  // Twice is as good as once: the same time is complete.
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const message = { subject, data: new Uint8Array(), headers: { [HEADER_COMPLETE]: about.to } };
    const outcome = await log.append(message);
    if (outcome.kind === 'landed') return { stream, subject, seq: outcome.seq };
    if (outcome.kind === 'unsure') cause = outcome.cause;
  }
  throw new MillraceError('BROKER_UNAVAILABLE', `stream ${stream} has not taken the heartbeat; try again`, { cause });
}

/** A subject that both filters deliver; null: there is none. */
function common(a: string, b: string): string | null {
  if (!overlaps(a, b)) return null;
  const [as, bs] = [a.split('.'), b.split('.')];
  const tokens: string[] = [];
  for (let i = 0; i < Math.max(as.length, bs.length); i++) {
    const [one = '>', other = '>'] = [as[i], bs[i]];
    const token = one === '*' || one === '>' ? other : one;
    tokens.push(token === '*' || token === '>' ? TOKEN : token);
  }
  return tokens.join('.');
}

function sourceOf({ name, summary }: Pick<PipelineSpec, 'name' | 'summary'>, source: string): SourceSummary {
  const streams = streamsOfSummary(summary);
  const found = streams.find(one => one.name === source);
  if (found !== undefined) return found;
  const known = streams.map(one => one.name).join(', ');
  throw new MillraceError('NOT_FOUND', `pipeline ${name} has no source ${source}; there are: ${known}`);
}
