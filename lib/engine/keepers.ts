/**
 * Keepers: whether the sources of a running pipeline still find in streams what the plan has found there. A stream that is
 * made later may take a part of a subject, and one may be told to keep less of it; what is sent there is not read, and
 * nothing else would say so. Or one comes to copy another, and records would come twice, go round, or lie under other keys:
 * what a plan is refused for. Nothing is changed: whoever deploys decides what is read. When it is asked is `stream-watch.ts`'s.
 */
import type { Log, StreamInfo } from '../port/log.ts';
import { bucketStream } from '../record/names.ts';
import { covers, overlaps } from '../record/subject.ts';
import type { SourceSpec } from '../source/spec.ts';
import { rowsOfBucket } from '../topology/buckets.ts';
import { common, type InfoOf, loopsOf, loopText } from '../topology/copies.ts';
import { type Plan, sourcesOf } from '../topology/plan.ts';
import { holds, keeps, movedText, takesText, twiceText } from '../topology/source-streams.ts';

/** What is amiss with a source. */
export interface Amiss {
  readonly source: string;
  readonly stream: string;
  readonly message: string;
  /** A plan would be refused for it: what is read is wrong, and not only less. */
  readonly isRefused: boolean;
}

type InfosOf = (stream: string) => StreamInfo | null;

export class Keepers {
  readonly #sinks: Plan['sinks'];
  readonly #sources: readonly SourceSpec[];
  readonly #log: Pick<Log, 'streamsOf' | 'info'>;
  /** What of its subject each source's stream listed when it was looked at first. */
  readonly #listed = new Map<SourceSpec, readonly string[]>();
  /** As it was when it was asked last, for the sources that read what is found. */
  #unread: readonly Amiss[] = [];

  constructor({ plan, log }: { plan: Plan; log: Pick<Log, 'streamsOf' | 'info'> }) {
    this.#sinks = plan.sinks;
    this.#sources = sourcesOf(plan);
    this.#log = log;
  }

  /**
   * @param infoOf knows the streams that are read, and those that they copy
   * @param asks also which streams list the sources' subjects, a question for each
   */
  async look(infoOf: InfosOf, { asks }: { asks: boolean }): Promise<readonly Amiss[]> {
    for (const source of this.#sources) this.#note(source, infoOf(source.stream));
    const found = this.#sources.filter(({ kind, streams }) => kind === 'stream' && streams.length === 0);
    if (asks) this.#unread = amiss(await Promise.all(found.map(async source => [source, await this.#found(source)])));
    const listing = this.#sources.filter(({ streams }) => streams.length > 0);
    return [
      ...this.#wrong(infoOf),
      ...this.#unread,
      ...amiss(listing.map(source => [source, this.#less(source, infoOf)])),
    ];
  }

  #note(source: SourceSpec, info: StreamInfo | null): void {
    if (info === null || this.#listed.has(source)) return;
    const own = info.subjects.filter(subject => overlaps(subject, source.subject));
    this.#listed.set(
      source,
      own.map(subject => common(subject, source.subject)),
    );
  }

  /** What a plan would be refused for. */
  #wrong(infoOf: InfosOf): Amiss[] {
    const loops = loopsOf(this.#sinks, { sources: this.#sources, infoOf });
    const wrong = [
      ...loops.map(({ sink, source }) => [source, loopText(sink, source)] as const),
      ...this.#sources.map(source => [source, twiceText(source, infoOf) ?? movedRows(source, infoOf)] as const),
    ];
    return amiss(wrong, true);
  }

  async #found(source: SourceSpec): Promise<string | null> {
    const found: StreamInfo[] = [];
    for (const name of await this.#log.streamsOf(source.subject)) {
      const info = await this.#log.info(name);
      if (info !== null) found.push(info);
    }
    return unreadText(source, found) ?? lostText(source, this.#listed.get(source) ?? [], found);
  }

  /** Its author has decided which streams are read; what others keep is none of his. */
  #less(source: SourceSpec, infoOf: InfosOf): string | null {
    const info = infoOf(source.stream);
    // Who reads it notices that it is gone.
    if (info === null) return null;
    const all = source.streams.flatMap(name => infoOf(name) ?? []);
    return emptyText(source, info, infoOf) ?? lostText(source, this.#listed.get(source) ?? [], all);
  }
}

type Read = Pick<SourceSpec, 'name' | 'stream'>;

function amiss(found: readonly (readonly [Read, string | null])[], isRefused = false): Amiss[] {
  return found.flatMap(([{ name, stream }, message]) =>
    message === null ? [] : { source: name, stream, message, isRefused },
  );
}

/** Whether a table's rows lie elsewhere than the plan has found them, and what to do; null: they do not. */
function movedRows({ kind, stream, subject }: SourceSpec, infoOf: InfosOf): string | null {
  const info = kind === 'kv' ? infoOf(stream) : null;
  if (info === null) return null;
  const rows = rowsOfBucket(stream.slice(bucketStream('').length), info, infoOf);
  if ('mistake' in rows) return rows.mistake;
  if (rows.subject === subject) return null;
  return `rows of '${stream}' lie under '${rows.subject}' by now, and the plan found them under '${subject}': let it keep them there, or deploy again`;
}

/** What of the subject the source's stream listed once, and none of those that are read lists now; null: nothing. */
export function lostText({ stream }: Read, before: readonly string[], now: readonly StreamInfo[]): string | null {
  const lost = before.filter(part => !now.some(({ subjects }) => subjects.some(own => covers(own, part))));
  if (lost.length === 0) return null;
  return `stream ${stream} does not list ${lost.join(', ')} any more, so not all that is sent there is read: nats stream edit ${stream}`;
}

/** Whether a stream that is listed takes nothing of the subject any more, and what to do; null: it does. */
export function emptyText({ subject }: Pick<SourceSpec, 'subject'>, info: StreamInfo, infoOf: InfoOf): string | null {
  if (holds(info, subject, infoOf)) return null;
  const { name } = info;
  return `stream ${name} takes nothing of ${subject} any more: ${takesText(info)}. nats stream edit ${name}, or leave it out of streams`;
}

/** What of the source's subject is kept where it does not read, and what to do; null: nothing. */
export function unreadText(
  { subject, stream }: Pick<SourceSpec, 'subject' | 'stream'>,
  found: readonly StreamInfo[],
): string | null {
  const keepers = found.filter(info => keeps(info, subject));
  const others = keepers.filter(({ name }) => name !== stream);
  if (others.length > 0) {
    const what = others.map(info => `stream ${info.name} keeps ${info.subjects.join(', ')}`).join(', ');
    return `${what} by now, so what of ${subject} is kept there is not read: let ${stream} keep it all, or list both in streams and begin anew`;
  }
  const [own] = keepers;
  if (own !== undefined) return movedText(own, subject);
  return `stream ${stream} does not list ${subject} any more, nor does another: what is sent is lost. nats stream edit ${stream}`;
}
