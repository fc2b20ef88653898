/**
 * Readiness: whether a worker has taken up its work and can be asked. The one answer to it, for `/readyz`, for the health
 * service of the API and for the metrics.
 *
 * Ready means: connected to NATS, not stopping, some worker is known to lead, and no pipeline of which this one has a part
 * is on its way up here any more. One that has no part of any is ready: it answers, and takes what it is given. A pipeline that has
 * failed, or waits for something that passes, keeps no worker from being ready: another worker could do no better, and a
 * rollout that waits for it would never end. That is what alerts are for.
 */
import { type Probe, probeOf } from '../observe/http.ts';
import type { PipelineState } from '../observe/status.ts';

export interface ReadinessFacts {
  readonly connected: boolean;
  readonly stopping: boolean;
  /** Name of the worker that leads, as far as this one knows; null: none. */
  readonly holder: string | null;
  /** This worker leads. */
  readonly active: boolean;
  /** Those that should run here. */
  readonly pipelines: readonly { readonly name: string; readonly state: PipelineState }[];
}

const COMING_UP: ReadonlySet<PipelineState> = new Set(['starting', 'restoring']);

/** Pure; the reasons are for people. */
export function readinessOf(facts: ReadinessFacts): Probe {
  const reasons: string[] = [];
  if (facts.stopping) reasons.push('the worker is stopping');
  if (!facts.connected) reasons.push('there is no connection to NATS');
  if (facts.holder === null && !facts.active) reasons.push('no worker is known to lead');
  for (const { name, state } of facts.pipelines) {
    if (COMING_UP.has(state)) reasons.push(`pipeline ${name} is ${state}`);
  }
  return probeOf(reasons);
}
