/**
 * Copies: of which streams' messages a stream holds, and under which subjects, with all that it copies by way of others. A
 * message that is in two streams would be read twice, and what a pipeline writes may come back to it. Pure.
 */
import type { StreamInfo } from '../port/log.ts';
import type { CopiedStream } from '../port/stream-config.ts';
import { covers, overlaps } from '../record/subject.ts';
import type { SourceSpec } from '../source/spec.ts';
import { patternOf } from './stream-taken.ts';

/** Null: it is not known. */
export type InfoOf = (stream: string) => Pick<StreamInfo, 'name' | 'subjects' | 'config'> | null;

export interface Held {
  /** The stream that the messages were sent to. */
  readonly origin: string;
  /** The subjects that they were sent to there, at most. */
  readonly sent: string;
  /** Those that they have here. */
  readonly kept: string;
  readonly isRenamed: boolean;
}

/** The streams that it copies from directly. */
export function copiedStreams({ config }: Pick<StreamInfo, 'config'>): readonly CopiedStream[] {
  return [...(config.mirror === null ? [] : [config.mirror]), ...config.sources];
}

/** What the stream holds of the subject. A stream that is not known holds what was sent to it. */
export function heldOf(subject: string, stream: string, infoOf: InfoOf): Held[] {
  return heldBy(stream, infoOf, []).flatMap(held => narrowed(held, subject) ?? []);
}

/** A stream whose messages both would give; null: there is none. */
export function sharedOrigin(one: readonly Held[], other: readonly Held[]): string | null {
  const shared = one.find(a => other.some(b => a.origin === b.origin && overlaps(a.sent, b.sent)));
  return shared?.origin ?? null;
}

function heldBy(stream: string, infoOf: InfoOf, past: readonly string[]): Held[] {
  const info = infoOf(stream);
  const all: Held = { origin: stream, sent: '>', kept: '>', isRenamed: false };
  if (info === null || past.includes(stream)) return [all];
  const held = copiedStreams(info).flatMap(copied => {
    const { name, external } = copied;
    const theirs =
      external === undefined ? heldBy(name, infoOf, [...past, stream]) : [{ ...all, origin: `${name} of ${external}` }];
    return theirs.flatMap(one => taken(one, copied));
  });
  const moved = info.config.subjectTransform;
  return [
    ...(info.subjects.length === 0 ? [] : [all]),
    // What comes from other streams is renamed as what is sent here.
    ...(moved === null ? held : held.map(one => ({ ...one, kept: '>', isRenamed: true }))),
  ];
}

/** What of it the copying stream takes: what its filter lets through, or what its mappings name. */
function taken(held: Held, { filter = '', renamed }: CopiedStream): Held[] {
  const mappings = renamed.length === 0 ? [{ src: filter, dest: '' }] : renamed;
  return mappings.flatMap(({ src, dest }) => {
    const part = narrowed(held, src || '>');
    if (part === null) return [];
    return dest === '' ? part : { ...part, kept: patternOf(dest), isRenamed: true };
  });
}

/** Null: nothing of it has such a subject. */
function narrowed(held: Held, subject: string): Held | null {
  if (!overlaps(held.kept, subject)) return null;
  const kept = common(held.kept, subject);
  return { ...held, kept, sent: held.isRenamed ? held.sent : kept };
}

/** The subjects that both filters deliver, of two that overlap. */
export function common(a: string, b: string): string {
  if (covers(a, b)) return b;
  if (covers(b, a)) return a;
  const [as, bs] = [a.split('.'), b.split('.')];
  const tokens: string[] = [];
  for (let i = 0; i < Math.max(as.length, bs.length); i++) {
    if (as[i] === '>') return [...tokens, ...bs.slice(i)].join('.');
    if (bs[i] === '>') return [...tokens, ...as.slice(i)].join('.');
    tokens.push(as[i] === '*' ? bs[i]! : as[i]!);
  }
  return tokens.join('.');
}

interface Written {
  readonly name: string;
  readonly target: {
    readonly template: string;
    readonly stream: { readonly name: string; readonly subjects: readonly string[] };
  };
}
type Read = Pick<SourceSpec, 'name' | 'kind' | 'subject' | 'stream'>;

/** What is written where a source's stream copies it from. Who writes what he reads by itself is told so without streams. */
export function loopsOf<Sink extends Written>(
  sinks: readonly Sink[],
  { sources, infoOf }: { sources: readonly Read[]; infoOf: InfoOf },
): { readonly sink: Sink; readonly source: Read }[] {
  return sources.flatMap(source => {
    if (source.kind !== 'stream') return [];
    const copied = heldOf(source.subject, source.stream, infoOf).filter(({ origin }) => origin !== source.stream);
    return sinks
      .filter(({ target: { stream } }) =>
        copied.some(({ origin, sent }) => origin === stream.name && stream.subjects.some(one => overlaps(one, sent))),
      )
      .map(sink => ({ sink, source }));
  });
}

export function loopText({ target }: Written, { name, stream }: Read): string {
  return (
    `'${target.template}' is read again by ${name}: its stream '${stream}' copies from '${target.stream.name}', so records ` +
    'would go round for ever. Write to another stream, or copy less of that one'
  );
}
