/**
 * Which stream each source reads: the one that keeps its subject, or one that is made for it. Pure.
 */
import { bucketOf, bucketStream, streamNamesFor } from '../record/names.ts';
import { covers, overlaps } from '../record/subject.ts';
import type { SourceSpec } from '../source/spec.ts';
import type { BrokerView } from './broker.ts';
import { rowsOfBucket } from './buckets.ts';
import type { GraphNode, SourceNode } from './graph.ts';

/** By the source's node. A source without a stream is reported and left out. */
export function resolveSources(
  sources: readonly SourceNode[],
  view: BrokerView,
  mistake: (node: GraphNode, message: string) => void,
): Map<number, SourceSpec> {
  const resolved = new Map<number, SourceSpec>();
  const captures = sources.filter(node => node.source.capture !== null && view.streamOf(node.source.subject) === null);
  for (const node of sources) {
    const { source, name } = node;
    if (source.kind === 'kv') {
      const bucket = bucketOf(source.subject);
      const stream = bucketStream(bucket);
      const info = view.info(stream);
      if (info === null) mistake(node, `there is no KV bucket '${bucket}': make it with nats kv add ${bucket}`);
      const rows = info === null ? source : rowsOfBucket(bucket, info);
      if ('mistake' in rows) mistake(node, rows.mistake);
      else resolved.set(node.id, { ...source, name, stream, subject: rows.subject });
      continue;
    }
    const found = view.streamOf(source.subject);
    if (found !== null) {
      resolved.set(node.id, { ...source, name, stream: found.name, capture: null });
    } else if (source.capture === null) {
      const command = `nats stream add ${streamNamesFor(source.subject)[0]} --subjects='${source.subject}'`;
      mistake(
        node,
        `no stream keeps '${source.subject}': make one (${command}), or say capture: true and one is made for you`,
      );
    } else {
      const stream = captureStream(node, { captures, view, mistake });
      resolved.set(node.id, { ...source, name, ...stream });
    }
  }
  return resolved;
}

/** Where several captures overlap, the widest makes the stream and the others read it. */
function captureStream(
  node: SourceNode,
  context: {
    captures: readonly SourceNode[];
    view: BrokerView;
    mistake: (node: GraphNode, message: string) => void;
  },
): Pick<SourceSpec, 'stream' | 'capture'> {
  const { captures, view, mistake } = context;
  const { subject } = node.source;
  let widest = node;
  for (const other of captures) {
    if (!overlaps(other.source.subject, subject)) continue;
    if (covers(other.source.subject, widest.source.subject)) {
      if (!covers(widest.source.subject, other.source.subject) || other.id < widest.id) widest = other;
    } else if (!covers(subject, other.source.subject) && other.id < node.id) {
      const both = `'${subject}' and '${other.source.subject}'`;
      mistake(node, `${both} overlap, so one stream must keep them: make it, or capture a subject that covers both`);
    }
  }
  const [short, long] = streamNamesFor(widest.source.subject);
  const taken = captures.some(
    other =>
      other.id < widest.id &&
      streamNamesFor(other.source.subject)[0] === short &&
      !overlaps(other.source.subject, widest.source.subject),
  );
  const stream = taken || view.info(short) !== null ? long : short;
  if (view.info(stream) !== null) mistake(node, `a stream '${stream}' exists, but it does not keep '${subject}'`);
  return { stream, capture: widest === node ? node.source.capture : null };
}
