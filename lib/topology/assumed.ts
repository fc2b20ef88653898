/**
 * What the planner would have heard of a broker that nobody asks: the streams of others are there (for a subject that is
 * not captured one that keeps it, and the bucket of every table), and nothing of ours is.
 */
import type { StreamInfo } from '../port/log.ts';
import { PLAIN_CONFIG } from '../port/stream-config.ts';
import { bucketOf, bucketStream, freeStreamName } from '../record/names.ts';
import { covers, overlaps } from '../record/subject.ts';
import { type BrokerView, isFilter } from './broker.ts';
import type { Graph } from './graph.ts';

export function assumedView(graph: Graph): BrokerView {
  const infos = new Map<string, StreamInfo>();
  let groups: string[][] = [];
  for (const node of graph.nodes) {
    if (node.kind === 'table') {
      const name = bucketStream(bucketOf(node.source.subject));
      infos.set(name, assumedStream(name, [node.source.subject]));
    } else if (node.kind === 'source' && node.source.stream !== null) {
      const { stream, subject } = node.source;
      infos.set(stream, assumedStream(stream, [...(infos.get(stream)?.subjects ?? []), subject]));
    } else if (node.kind === 'source' && node.source.capture === null && isFilter(node.source.subject)) {
      // Subjects that overlap are kept by one stream: a broker allows no other way.
      const { subject } = node.source;
      const joined = groups.filter(group => group.some(other => overlaps(other, subject)));
      groups = [...groups.filter(group => !joined.includes(group)), [...joined.flat(), subject]];
    }
  }
  for (const subjects of groups) {
    const name = freeStreamName(subjects[0]!, one => infos.has(one.toUpperCase())).toUpperCase();
    infos.set(name, assumedStream(name, subjects));
  }
  return {
    info: stream => infos.get(stream) ?? null,
    streamsOf: subject => [...infos.values()].filter(({ subjects }) => subjects.some(own => covers(own, subject))),
  };
}

/** A stream that can do what is asked of it, and has nothing in it. */
export function assumedStream(name: string, subjects: readonly string[], lastSeq = 0): StreamInfo {
  const created = new Date(0).toISOString();
  return { name, subjects, config: PLAIN_CONFIG, created, firstSeq: 1, lastSeq, messages: lastSeq, bytes: 0 };
}
