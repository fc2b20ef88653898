/**
 * Keepers: whether the streams that keep a source's subject still are what the plan has found, asked now and then while the
 * pipeline runs. A stream that is made later may take a part of the subject, and one may be told to keep it no more; what is
 * sent there is not read, and nothing else would say so. One that a source lists may come to take nothing of it. Nothing is changed: whoever deploys decides what is read.
 */
import type { Clock } from '../base/clock.ts';
import { isMillraceError } from '../base/errors.ts';
import type { Observer } from '../observe/events.ts';
import type { Log, StreamInfo } from '../port/log.ts';
import type { SourceSpec } from '../source/spec.ts';
import { askCopied } from '../topology/broker.ts';
import type { InfoOf } from '../topology/copies.ts';
import { type Plan, sourcesOf } from '../topology/plan.ts';
import { holds, keeps, movedText, takesText } from '../topology/source-streams.ts';

const EVERY_MS = 30_000;

export interface KeepersOptions {
  readonly plan: Plan;
  readonly log: Pick<Log, 'streamsOf' | 'info'>;
  readonly clock: Clock;
  readonly observer: Observer;
}

export class Keepers {
  #options: KeepersOptions;
  #sources: readonly SourceSpec[];
  /** What was said last, by source. */
  #told = new Map<string, string>();
  #cancel: (() => void) | null = null;
  #stopped = false;

  constructor(options: KeepersOptions) {
    this.#options = options;
    // A table has a stream of its own.
    this.#sources = sourcesOf(options.plan).filter(({ kind }) => kind === 'stream');
  }

  start(): void {
    if (this.#stopped || this.#sources.length === 0) return;
    this.#cancel = this.#options.clock.after(EVERY_MS, () => {
      void this.#look().then(() => this.start());
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  async #look(): Promise<void> {
    const { observer, plan } = this.#options;
    for (const source of this.#sources) {
      try {
        const message = source.streams.length > 0 ? await this.#listed(source) : await this.#found(source);
        if (this.#stopped || message === (this.#told.get(source.name) ?? null)) continue;
        this.#told.set(source.name, message ?? '');
        if (message === null) continue;
        observer.emit({ event: 'source.unread', level: 'warn', pipeline: plan.pipeline, source: source.name, message });
      } catch (error) {
        // The next look will do.
        if (!isMillraceError(error)) throw error;
      }
    }
  }

  async #found(source: SourceSpec): Promise<string | null> {
    const { log } = this.#options;
    const found: StreamInfo[] = [];
    for (const name of await log.streamsOf(source.subject)) {
      const info = await log.info(name);
      if (info !== null) found.push(info);
    }
    return unreadText(source, found);
  }

  /** Its author has decided which streams are read; what others keep is none of his. */
  async #listed(source: SourceSpec): Promise<string | null> {
    const info = await this.#options.log.info(source.stream);
    // Who reads it notices that it is gone.
    if (info === null) return null;
    const infos = new Map<string, StreamInfo | null>([[source.stream, info]]);
    await askCopied(this.#options.log, infos);
    return emptyText(source, info, name => infos.get(name) ?? null);
  }
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
