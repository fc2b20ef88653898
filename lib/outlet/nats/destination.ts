/**
 * Where rows go in NATS: what a sink is told of it, and what a commit says. Each commit says it of the rows that it holds,
 * in a text that is made once for a plan, so that what waits to be sent never depends on the plan that happens to run when
 * it is: a sink may have been removed, renamed or moved to another stream since, and its rows still go where their commit
 * said. A row's address is its subject, and, of a letter, its headers.
 */
import { decodeKey } from '../../record/key.ts';
import { lettersStream } from '../../record/names.ts';
import { ownSubject, parseTemplate, type Template } from '../../record/template.ts';
import type { Addressing } from '../addressing.ts';
import type { NatsSink } from '../sink-spec.ts';

/** In which of three ways results get there exactly once. */
export type SinkMode = 'owned' | 'shared' | 'at-least-once';

/** What a sink into a stream is told. */
export interface NatsTarget {
  readonly mode: SinkMode;
  /** Subject template: literal tokens and `{field}`s; an owned one ends in `{partition}`. */
  readonly template: string;
  readonly stream: { readonly name: string; readonly create: boolean; readonly subjects: readonly string[] };
  /** One record a message, or all of a commit's rows for a subject in one. */
  readonly frame: 'none' | 'ndjson' | 'msgpack';
  /**
   * Last sequence of the stream when this life of the pipeline took an owned sink's subjects over from whoever had them:
   * what is on them up to there is the past, and nobody's progress. Absent: 0.
   */
  readonly sinceSeq?: number;
}

/** What a commit says of where its rows go. */
export interface Destination {
  readonly mode: SinkMode;
  readonly stream: string;
  /** An owned sink's very subject; for others, whose rows name their own, what they have in common, for people. */
  readonly subject: string;
  readonly frame: NatsTarget['frame'];
  readonly format: NatsSink['format'];
  /** See `NatsTarget`. */
  readonly sinceSeq: number;
}

/** Where a task's rows for a sink go. */
export function destinationOf({ format, target }: NatsSink, partition: number): Destination {
  const { mode, stream, template, frame, sinceSeq = 0 } = target;
  const subject = mode === 'owned' ? ownSubject(template, partition) : template;
  return { mode, stream: stream.name, subject, frame, format, sinceSeq };
}

/** Dead letters and late records travel as rows of a shared sink, one a message. */
export function lettersDestination(pipeline: string): Destination {
  const stream = lettersStream(pipeline);
  return { mode: 'shared', stream, subject: stream, frame: 'none', format: 'json', sinceSeq: 0 };
}

/** Names of streams and templates have no spaces. */
export function targetText({ mode, stream, subject, frame, format, sinceSeq }: Destination): string {
  return `${mode} ${stream} ${subject} ${frame} ${format} ${sinceSeq}`;
}

export function destinationFrom(target: string): Destination {
  const [mode, stream, subject, frame, format, sinceSeq] = target.split(' ') as [
    SinkMode,
    string,
    string,
    Destination['frame'],
    Destination['format'],
    string,
  ];
  return { mode, stream, subject, frame, format, sinceSeq: Number(sinceSeq) };
}

/** Headers of a row's own. */
export type RowHeaders = Readonly<Record<string, string>>;

/** A subject has no spaces, so what follows the first is the headers. */
export function addressText(subject: string, headers: RowHeaders): string {
  return `${subject} ${JSON.stringify(headers)}`;
}

export interface Address {
  readonly subject: string;
  /** Null: the row has none of its own. */
  readonly headers: RowHeaders | null;
}

export function addressFrom(text: string): Address {
  const space = text.indexOf(' ');
  if (space < 0) return { subject: text, headers: null };
  return { subject: text.slice(0, space), headers: JSON.parse(text.slice(space + 1)) };
}

/** What a sink's exit says of its rows: an owned subject is the target's own, others are made of the record. */
export class NatsAddressing implements Addressing {
  readonly stream: string;
  readonly target: string;
  readonly keeps = { keys: false, times: false };
  #template: Template | null;
  #place: { partition: number; key: unknown };

  constructor(sink: NatsSink, partition: number) {
    this.stream = sink.target.stream.name;
    this.target = targetText(destinationOf(sink, partition));
    this.#template = sink.target.mode === 'owned' ? null : parseTemplate(sink.target.template);
    this.#place = { partition, key: null };
  }

  addressOf(key: string | null, value: unknown): string | null {
    if (this.#template === null) return null;
    this.#place.key = key === null ? null : decodeKey(key);
    return this.#template.render(value, this.#place);
  }
}
