/**
 * What the planner asks of the broker, all of it before planning: then the plan is a pure function of the pipeline and
 * these answers.
 */
import { messageOf } from '../base/errors.ts';
import { shown } from '../operator/user-code.ts';
import type { Log, StreamInfo } from '../port/log.ts';
import { bucketOf, bucketStream, lettersStream, streamNamesFor } from '../record/names.ts';
import { overlaps } from '../record/subject.ts';
import { parseTemplate, type Template } from '../record/template.ts';
import { copiedStreams } from './copies.ts';
import type { Graph } from './graph.ts';

export type Broker = Pick<Log, 'streamsOf' | 'info'>;

/** The answers. */
export interface BrokerView {
  /** The streams that list a subject, or a part of it where it has wildcards. */
  streamsOf(subject: string): readonly StreamInfo[];
  info(stream: string): StreamInfo | null;
}

interface Asking {
  readonly name: string;
  readonly graph: Graph;
}

export async function askBroker(broker: Broker, { graph, name: pipeline }: Asking): Promise<BrokerView> {
  const subjects = new Set<string>();
  const names = new Set<string>([lettersStream(pipeline)]);
  for (const node of graph.nodes) {
    if (node.kind === 'source' && node.source.stream === null) subjects.add(node.source.subject);
    if (node.kind === 'source') for (const stream of node.source.streams) names.add(stream);
    if (node.kind === 'table') names.add(bucketStream(bucketOf(node.source.subject)));
    if (node.kind !== 'sink') continue;
    if (node.sink.stream !== null) names.add(node.sink.stream);
    const template = templateOf(node.sink.template);
    if (typeof template !== 'string') subjects.add(template.covers);
  }
  const streams = new Map<string, readonly string[]>();
  for (const subject of subjects) {
    // What is no subject is a mistake, told by validate.ts, and no question for the broker.
    if (!isFilter(subject)) continue;
    const found = await broker.streamsOf(subject);
    streams.set(subject, found);
    for (const name of found.length === 0 ? streamNamesFor(subject) : found) names.add(name);
  }
  const infos = new Map<string, StreamInfo | null>();
  for (const name of names) infos.set(name, await broker.info(name));
  await askCopied(broker, infos);
  const info = (stream: string) => infos.get(stream) ?? null;
  return {
    info,
    streamsOf: subject => {
      const found = streams.get(subject) ?? [];
      if (found.length > 0 || !streams.has(subject)) return found.flatMap(name => info(name) ?? []);
      // Whoever plans the same elsewhere may have made it since: it is the keeper then, and no stranger that has its name.
      const made = streamNamesFor(subject).flatMap(name => info(name) ?? []);
      return made.filter(({ subjects: kept }) => kept.some(one => overlaps(one, subject)));
    },
  };
}

/** Adds the streams that those copy from, and these again, as far as they are of this account. */
export async function askCopied(broker: Pick<Broker, 'info'>, infos: Map<string, StreamInfo | null>): Promise<void> {
  // What is added on the way is visited too.
  for (const info of infos.values()) {
    for (const { name, external } of info === null ? [] : copiedStreams(info)) {
      if (external === undefined && !infos.has(name)) infos.set(name, await broker.info(name));
    }
  }
}

/** The parsed template, or what is wrong with it. */
export function templateOf(text: string): Template | string {
  if (typeof text !== 'string') return `the subject template is ${shown(text)}: it must be a text, e.g. 'hires.{site}'`;
  try {
    return parseTemplate(text);
  } catch (error) {
    return messageOf(error);
  }
}

const FILTER = /^(?:[^\s.*>]+|\*)(?:\.(?:[^\s.*>]+|\*))*(?:\.>)?$|^>$/;

/** Whether the text is a subject, with or without wildcards. */
export function isFilter(subject: string): boolean {
  return typeof subject === 'string' && FILTER.test(subject);
}
