/** Which streams of others a plan uses, and for what: what is looked at while it runs, and by `millrace doctor`. Pure. */
import type { SinkSpec } from '../outlet/sink-spec.ts';
import { markerSubjects } from '../record/names.ts';
import type { CaptureLimits, SourceSpec } from '../source/spec.ts';
import type { StreamRole, StreamUse } from './stream-effects.ts';

type Read = Pick<SourceSpec, 'kind' | 'subject' | 'stream' | 'streams' | 'keeps'>;

/** A plan, or what is stored of it. */
interface Using {
  readonly pipeline: string;
  readonly readers: readonly { readonly source: Read }[];
  readonly stages: readonly { readonly direct: Read | null }[];
  readonly sinks: readonly Pick<SinkSpec, 'name' | 'target'>[];
}

export interface UsedStream {
  readonly stream: string;
  readonly use: StreamUse;
}

/** Each stream once for each of its roles. */
export function streamUses({ pipeline, readers, stages, sinks }: Using): UsedStream[] {
  const sources = [...readers.map(({ source }) => source), ...stages.flatMap(({ direct }) => direct ?? [])];
  const reads = [...new Set(sources.map(({ subject }) => subject))];
  const writes = new Set<string>();
  const used = new Map<
    string,
    { stream: string; role: StreamRole; subjects: Set<string>; batches: boolean; keeps?: CaptureLimits | null }
  >();
  const note = (stream: string, role: StreamRole) => {
    const key = `${role} ${stream}`;
    const found = used.get(key) ?? { stream, role, subjects: new Set(), batches: false };
    used.set(key, found);
    return found;
  };
  for (const { kind, stream, streams, subject, keeps } of sources) {
    const found = note(stream, kind === 'kv' ? 'table' : 'source');
    const { subjects } = found;
    found.keeps = found.keeps === undefined ? keeps : most(found.keeps, keeps);
    // Who lists streams takes what they hold, under whatever subjects that was sent.
    if (streams.length === 0) subjects.add(subject);
  }
  for (const { name, target } of sinks) {
    const { mode, stream } = target;
    const found = note(stream.name, mode === 'at-least-once' ? 'loose' : 'results');
    const markers = markerSubjects(pipeline, name);
    for (const subject of stream.subjects) {
      found.subjects.add(subject);
      if (subject !== markers) writes.add(subject);
    }
    if (mode === 'shared') found.batches = true;
  }
  return [...used.values()].map(({ stream, role, subjects, batches, keeps = null }) => ({
    stream,
    use: { role, subjects: [...subjects], batches, keeps, reads, writes: [...writes] },
  }));
}

/** What is enough for two sources of one stream; null: one of them has asked for nothing that limits it. */
function most(one: CaptureLimits | null, other: CaptureLimits | null): CaptureLimits | null {
  if (one === null || other === null) return null;
  return { maxAgeMs: Math.max(one.maxAgeMs, other.maxAgeMs), maxBytes: Math.max(one.maxBytes, other.maxBytes) };
}

/** What a stream of Millrace's own is, whatever pipeline's. */
export function ownUse(role: 'own' | 'letters', subjects: readonly string[]): StreamUse {
  return { role, subjects, batches: role === 'letters', reads: [], writes: [] };
}
