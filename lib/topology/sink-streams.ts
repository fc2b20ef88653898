/**
 * Sinks: how each writes, and which stream keeps what it writes. Pure.
 *
 * A stream that exists must keep all of the sink's subjects, and for a shared sink its markers too, and allow atomic
 * batches; what is missing is told as one command a stream. Its other settings are judged by their table (`fits.ts`). For subjects that no stream keeps one is made; subjects
 * that overlap, and those with the same beginning, share it.
 */
import type { NatsTarget, SinkMode } from '../outlet/nats/destination.ts';
import type { NatsSink } from '../outlet/sink-spec.ts';
import type { StreamInfo } from '../port/log.ts';
import { freeStreamName, markerSubjects, RESERVED_SUBJECT, STREAM_NAME, streamNamesFor } from '../record/names.ts';
import { covers, overlaps } from '../record/subject.ts';
import type { Template } from '../record/template.ts';
import { type BrokerView, templateOf } from './broker.ts';
import type { Fits } from './fits.ts';
import type { GraphNode, SinkNode } from './graph.ts';
import { keeps } from './source-streams.ts';

type Tell = (node: GraphNode, message: string) => void;

/** A sink on its way to its stream. */
interface Outlet {
  readonly node: SinkNode;
  readonly covers: string;
  /** What the stream must list. */
  readonly subjects: readonly string[];
  readonly spec: Pick<NatsSink, 'name' | 'kind' | 'format'> & { readonly target: Omit<NatsTarget, 'stream'> };
}

export function resolveSinks(
  sinks: readonly SinkNode[],
  context: { pipeline: string; view: BrokerView; mistake: Tell; fits: Fits; taken: ReadonlySet<string> },
): NatsSink[] {
  const { pipeline, view, mistake, fits, taken } = context;
  const outlets: Outlet[] = [];
  for (const node of sinks) {
    const template = templateOf(node.sink.template);
    if (typeof template === 'string') mistake(node, template);
    else outlets.push(outletOf(node, { template, pipeline, mistake }));
  }
  for (const [i, outlet] of outlets.entries()) {
    for (const other of outlets.slice(0, i)) {
      if (outlet.spec.target.mode !== 'owned' && other.spec.target.mode !== 'owned') continue;
      if (!overlaps(outlet.covers, other.covers)) continue;
      const both = `'${outlet.spec.target.template}' and '${other.spec.target.template}' of ${other.node.name}`;
      mistake(
        outlet.node,
        `${both} write the same subjects, and a subject that ends in {partition} has one writer only`,
      );
    }
  }
  const streams = new Map<Outlet, NatsTarget['stream']>();
  const homeless: Outlet[] = [];
  const used = new Map<string, { info: StreamInfo; outlets: Outlet[] }>();
  for (const outlet of outlets) {
    const info = existingStream(outlet, view, mistake);
    if (info === null) {
      homeless.push(outlet);
      continue;
    }
    streams.set(outlet, { name: info.name, create: false, subjects: outlet.subjects });
    used.set(info.name, { info, outlets: [...(used.get(info.name)?.outlets ?? []), outlet] });
  }
  for (const { info, outlets: users } of used.values()) checkStream(info, users, { mistake, fits });
  for (const group of groupsOf(homeless)) {
    const stream = newStream(group, {
      view,
      mistake,
      taken: new Set([...taken, ...[...streams.values()].map(({ name }) => name)]),
    });
    for (const outlet of group) streams.set(outlet, stream);
  }
  return outlets.map(outlet => {
    const { spec } = outlet;
    return { ...spec, target: { ...spec.target, stream: streams.get(outlet)! } };
  });
}

function outletOf(node: SinkNode, context: { template: Template; pipeline: string; mistake: Tell }): Outlet {
  const { template, pipeline, mistake } = context;
  const { sink, name } = node;
  const mode: SinkMode = sink.mode ?? (template.owned ? 'owned' : 'shared');
  if (mode === 'owned' && !template.owned) {
    mistake(node, `an owned sink's subject ends in {partition} and has no other field: '${sink.template}' does not`);
  }
  if (!node.keyed && sink.template.includes('{key}')) {
    mistake(node, `'${sink.template}' asks for the key, but these records have none: call keyBy first`);
  }
  if (RESERVED_SUBJECT.test(sink.template)) {
    mistake(node, `'${sink.template}' begins like the subjects of Millrace or of the broker itself: begin otherwise`);
  }
  if (sink.stream !== null && !STREAM_NAME.test(sink.stream)) {
    mistake(node, `'${sink.stream}' cannot name a stream: take letters, digits, '-' and '_'`);
  }
  const framed = sink.format === 'msgpack' ? 'msgpack' : 'ndjson';
  const frame = sink.frame ?? (mode === 'owned' ? framed : 'none');
  const format = sink.format ?? (frame === 'msgpack' ? 'msgpack' : 'json');
  if (frame !== 'none' && frame !== (format === 'json' ? 'ndjson' : 'msgpack')) {
    mistake(node, `a frame of ${frame} cannot hold ${format}: leave one of the two out`);
  }
  const markers = mode === 'shared' ? [markerSubjects(pipeline, name)] : [];
  const spec = { name, kind: 'nats', format, target: { mode, template: sink.template, frame } } as const;
  return { node, covers: template.covers, subjects: [template.covers, ...markers], spec };
}

/** The stream that the author named or that keeps the subjects already; null: none. */
function existingStream({ node, covers: subject }: Outlet, view: BrokerView, mistake: Tell): StreamInfo | null {
  const { stream } = node.sink;
  const keepers = view.streamsOf(subject).filter(info => keeps(info, subject));
  const [keeper = null] = keepers;
  if (keepers.length > 1) {
    const names = keepers.map(({ name }) => `'${name}'`).join(' and ');
    mistake(
      node,
      `streams ${names} each keep a part of '${subject}', and one must keep all of it: write to another subject`,
    );
  }
  if (stream === null || keeper === null) return stream === null ? keeper : view.info(stream);
  if (keeper.name !== stream) {
    mistake(node, `stream '${keeper.name}' keeps '${subject}' already, so '${stream}' cannot: name that one, or none`);
  }
  return keeper;
}

/** Whether an existing stream takes what its sinks write; one command mends all that is missing. */
function checkStream(info: StreamInfo, all: readonly Outlet[], context: { mistake: Tell; fits: Fits }): void {
  const { mistake, fits } = context;
  const outlets = all.filter(({ node, subjects, spec }) => {
    const role = spec.target.mode === 'at-least-once' ? 'loose' : 'results';
    // What it must allow is told below, with the subjects that it must keep, as one command.
    return fits(node, info, { role, subjects, batches: false });
  });
  if (outlets.length === 0) return;
  const missing = outlets
    .flatMap(outlet => outlet.subjects)
    .filter(subject => !info.subjects.some(own => covers(own, subject)));
  const mustAllow = !info.config.allowAtomic && outlets.some(outlet => outlet.spec.target.mode === 'shared');
  if (missing.length === 0 && !mustAllow) return;
  const kept = info.subjects.filter(own => !missing.some(subject => covers(subject, own)));
  const subjects = missing.length === 0 ? '' : ` --subjects='${[...kept, ...new Set(missing)].join(',')}'`;
  const needs = [
    ...(mustAllow ? ['allow atomic batches'] : []),
    ...(missing.length === 0 ? [] : [`keep ${missing.map(subject => `'${subject}'`).join(' and ')}`]),
  ];
  const [first] = outlets as [Outlet];
  const isForMarkers = missing.every(subject => !outlets.some(outlet => outlet.covers === subject));
  mistake(
    first.node,
    `stream '${info.name}' must ${needs.join(' and ')}: nats stream edit ${info.name}${mustAllow ? ' --allow-batch' : ''}${subjects}` +
      (isForMarkers ? `; or say mode: 'at-least-once'` : ''),
  );
}

/** Sinks that must share a stream: their subjects overlap, or they would name it alike. */
function groupsOf(outlets: readonly Outlet[]): Outlet[][] {
  let groups: Outlet[][] = [];
  const nameOf = ({ node, covers: subject }: Outlet) => node.sink.stream ?? streamNamesFor(subject)[0];
  for (const outlet of outlets) {
    const akin = (other: Outlet) => nameOf(other) === nameOf(outlet) || overlaps(other.covers, outlet.covers);
    const joined = groups.filter(group => group.some(akin));
    groups = [...groups.filter(group => !joined.includes(group)), [...joined.flat(), outlet]];
  }
  return groups;
}

function newStream(
  group: readonly Outlet[],
  context: { view: BrokerView; mistake: Tell; taken: ReadonlySet<string> },
): NatsTarget['stream'] {
  const { view, mistake, taken } = context;
  const [first] = group as [Outlet];
  const names = new Set(group.map(({ node }) => node.sink.stream).filter(name => name !== null));
  if (names.size > 1) {
    mistake(
      first.node,
      `its subjects overlap with those of other sinks, so one stream keeps them: name one, not ${[...names].join(' and ')}`,
    );
  }
  const [named] = names;
  const isTaken = (name: string) => taken.has(name) || view.info(name) !== null;
  const name = named ?? freeStreamName(first.covers, isTaken);
  if (isTaken(name))
    mistake(first.node, `a stream '${name}' exists, but it does not keep '${first.covers}': name another one`);
  const all = [...new Set(group.flatMap(outlet => outlet.subjects))];
  const subjects = all.filter(subject => !all.some(other => other !== subject && covers(other, subject)));
  for (const [i, subject] of subjects.entries()) {
    const clash = subjects.slice(0, i).find(other => overlaps(other, subject));
    if (clash === undefined) continue;
    mistake(
      first.node,
      `'${clash}' and '${subject}' overlap and neither covers the other: make a stream that keeps both`,
    );
  }
  return { name, create: true, subjects };
}
