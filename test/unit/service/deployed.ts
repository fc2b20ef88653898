/** A registry in which pipeline `p` is deployed, with sources that read these subjects. */
import { systemClock } from '../../../lib/base/clock.ts';
import { type PipelineSpec, Specs } from '../../../lib/cluster/specs.ts';
import { MemoryBucket, MemoryRegistry } from '../../../lib/memory/registry.ts';
import { SUMMARY_VERSION } from '../../../lib/topology/summary.ts';

export interface DeployedSource {
  readonly subject: string;
  readonly stream: string;
  readonly kind?: 'stream' | 'kv';
}

export async function deployed(sources: readonly DeployedSource[]): Promise<MemoryRegistry> {
  const registry = new MemoryRegistry(new MemoryBucket(systemClock));
  const readers = sources.map(source => ({ source: { name: source.subject, kind: 'stream', ...source } }));
  const spec = { ...{ name: 'p', life: 'l', revision: 1, program: 1, former: [] }, desired: 'running', remains: null };
  await new Specs(registry).put(
    { ...spec, summary: { version: SUMMARY_VERSION, readers, stages: [] } } as unknown as PipelineSpec,
    0,
  );
  return registry;
}
