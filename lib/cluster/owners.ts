/**
 * Who owns which output subjects: one document of the registry, `owners`, changed only by compare-and-set. An owned
 * subject has one writer at a time, and its last message says what was sent; another's message there would be taken for
 * the writer's own progress, and rows would be missing.
 *
 * *One deployment a subject*: of two deployments that write to subjects that overlap, one of them as owned ones, at most
 *   one is in the document.
 *   A deploy enters what it writes before its spec is put, so before any task of it runs; what it has written stays
 *   entered when the sink is taken out, since rows may wait and the last messages are its own; a purge takes out what
 *   its life has, once nothing runs any more. An entry names the life, so that a purge that was frozen in the middle
 *   takes out nothing of the pipeline that was deployed again.
 *
 * What nobody has entered (the registry was lost, other programs publish) is looked for on the subjects themselves:
 * there, the last message names its life.
 */
import { MillraceError } from '../base/errors.ts';
import type { SinkMode } from '../outlet/nats/destination.ts';
import type { Registry } from '../port/registry.ts';
import { overlaps } from '../record/subject.ts';
import type { Results, Writer } from './results.ts';
import { isGone, type PipelineSpec } from './specs.ts';

/** What one sink of one life of a pipeline writes, or has written. */
export interface Owned {
  readonly pipeline: string;
  readonly life: string;
  readonly sink: string;
  readonly template: string;
  readonly covers: string;
  readonly mode: SinkMode;
  readonly stream: string;
  /** See `NatsTarget.sinceSeq`. */
  readonly sinceSeq: number;
}

/** Whether what a pipeline of this name has left may be taken. */
export type TakeOver = (pipeline: string) => boolean;

/** What a deploy writes to, judged against what others have. */
export interface Claim {
  /** Why the deploy is refused, each a line for a person; empty: it is not. */
  readonly refusals: readonly string[];
  /** What there is to know of what is on the subjects already. */
  readonly notices: readonly string[];
  /** The document with what the deploy writes entered. */
  readonly owned: readonly Owned[];
  /** By owned sink of the plan: its `sinceSeq`. */
  readonly since: Readonly<Record<string, number>>;
}

/**
 * Pure. `specs`: all there are; `takeOver`: whether what this pipeline has left, and no longer writes to, is given up on
 * purpose; it may throw, and nothing is then.
 */
export function judgeClaim(
  owned: readonly Owned[],
  mine: { readonly pipeline: string; readonly life: string; readonly results: readonly Results[] },
  { specs, takeOver }: { readonly specs: readonly PipelineSpec[]; readonly takeOver: TakeOver },
): Claim {
  const refusals: string[] = [];
  const notices: string[] = [];
  const entries: Owned[] = [];
  const since: Record<string, number> = {};
  const given = new Set<Owned>();
  const isMine = (one: Owned) => one.pipeline === mine.pipeline && one.life === mine.life;
  for (const result of mine.results) {
    const { sink, template, covers, mode, stream, lastSeq } = result;
    const others = owned.filter(
      one =>
        one.pipeline !== mine.pipeline && (one.mode === 'owned' || mode === 'owned') && overlaps(one.covers, covers),
    );
    for (const other of others) {
      const isUsed = isInUse(other, specs);
      if (!isUsed && takeOver(other.pipeline)) given.add(other);
      else refusals.push(ownedText(result, other, { isUsed, specs }));
    }
    const before = owned.filter(one => isMine(one) && one.stream === stream && overlaps(one.covers, covers));
    if (before.length === 0) {
      const stranger = mode === 'owned' && others.length === 0 ? strangerOf(result.writer, mine, specs) : null;
      if (stranger !== null && !takeOver(stranger.pipeline)) refusals.push(strangerText(result, stranger));
      if (result.messages > 0) notices.push(noticeText(result, mine));
    }
    // What this life has had already stays its own, whichever sink of it wrote there.
    const sinceSeq = before.length === 0 ? lastSeq : Math.min(...before.map(one => one.sinceSeq));
    if (mode === 'owned') since[sink] = sinceSeq;
    entries.push({ pipeline: mine.pipeline, life: mine.life, sink, template, covers, mode, stream, sinceSeq });
  }
  const kept = owned.filter(one => !given.has(one) && !(isMine(one) && entries.some(entry => isSame(entry, one))));
  return { refusals, notices, owned: [...kept, ...entries], since };
}

function isSame(one: Owned, other: Owned): boolean {
  return (
    one.sink === other.sink && one.covers === other.covers && one.mode === other.mode && one.stream === other.stream
  );
}

/** Whether what is deployed of that life writes there now, or would when it is deployed or resumed. */
function isInUse({ pipeline, life, template }: Owned, specs: readonly PipelineSpec[]): boolean {
  const spec = specs.find(one => one.name === pipeline);
  if (spec === undefined || spec.life !== life || (isGone(spec) && spec.purge)) return false;
  const summary = spec.summary as {
    readonly sinks?: readonly { readonly target: { readonly template: string } }[];
  } | null;
  return (summary?.sinks ?? []).some(sink => sink.target.template === template);
}

/** Who wrote the last message of subjects that nobody has entered, unless that is known to be over; null: nobody. */
function strangerOf(
  writer: Writer | null,
  mine: { readonly pipeline: string; readonly life: string },
  specs: readonly PipelineSpec[],
): Writer | null {
  if (writer === null || writer.life === mine.life) return null;
  const spec = specs.find(one => one.name === writer.pipeline);
  const isPurged = spec !== undefined && (spec.purged.includes(writer.life) || (isGone(spec) && spec.purge));
  return isPurged ? null : writer;
}

function ownedText(
  { sink, template }: Results,
  other: Owned,
  { isUsed, specs }: { isUsed: boolean; specs: readonly PipelineSpec[] },
): string {
  const { pipeline } = other;
  const there = `${pipeline} (its sink ${other.sink}, '${other.template}')`;
  const what = `sink ${sink} writes to '${template}', and so`;
  if (isUsed) {
    return `${what} does pipeline ${there}; a subject that ends in {partition} has one writer: write to another one, or delete ${pipeline} with --purge first`;
  }
  const isThere = specs.some(spec => spec.name === pipeline);
  return isThere
    ? `${what} did pipeline ${there}, which may have results left to send: write to another subject, delete ${pipeline} with --purge first, or deploy with --take-over`
    : `${what} would pipeline ${there}, whose deploy has not come to its end: write to another subject, or, if it never will, deploy with --take-over`;
}

function strangerText({ sink, template, stream, covers }: Results, { pipeline, life }: Writer): string {
  return (
    `sink ${sink} would own '${template}', but the last message on '${covers}' in stream ${stream} was written by pipeline ` +
    `${pipeline} in a life (${life}) that this cluster knows nothing of: write to another subject, or, if nothing of that ` +
    'life runs any more, deploy with --take-over'
  );
}

/** What whoever deploys should know of messages that are there already. */
function noticeText(
  { stream, covers, messages, writer }: Results,
  { pipeline }: { readonly pipeline: string },
): string {
  const count = messages === 1 ? '1 message' : `${messages} messages`;
  const known = `stream ${stream} holds ${count} on '${covers}' already; results come after them`;
  if (writer?.pipeline !== pipeline) return known;
  return `${known}. They are of an earlier life of ${pipeline}: whoever reads from the beginning finds again what is computed again`;
}

/** What a deploy is refused with. */
export function refusal(pipeline: string, reasons: readonly string[]): MillraceError {
  const list = reasons.map(reason => `  - ${reason}`).join('\n');
  return new MillraceError('SUBJECT_OWNED', `pipeline ${pipeline} would write where others do:\n${list}`);
}

const KEY = 'owners';
const VERSION = 1;
const CAS_TRIES_MAX = 32;

export class Owners {
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  async read(): Promise<readonly Owned[]> {
    return (await this.#held()).owned;
  }

  /** Puts what `change` makes of the document, unless it is the same; asked again whenever somebody else was first. */
  async change<C extends { readonly owned: readonly Owned[] }>(change: (owned: readonly Owned[]) => C): Promise<C> {
    for (let tries = 0; tries < CAS_TRIES_MAX; tries++) {
      const { owned, at, text } = await this.#held();
      const changed = change(owned);
      const next = JSON.stringify({ version: VERSION, owned: changed.owned });
      if (next === text || (await this.#registry.put(KEY, Buffer.from(next), { expect: at })) !== null) return changed;
    }
    throw new MillraceError('CONFLICT', 'the owners of subjects keep changing; try again when other deploys are done');
  }

  /** Enters what a deploy writes to, unless it is refused or a dry run. */
  async claim(
    mine: Parameters<typeof judgeClaim>[1],
    options: { specs: readonly PipelineSpec[]; dryRun: boolean; takeOver: TakeOver },
  ): Promise<Claim> {
    const judge = (owned: readonly Owned[]) => judgeClaim(owned, mine, options);
    if (options.dryRun) return judge(await this.read());
    return this.change(owned => {
      const claim = judge(owned);
      return claim.refusals.length === 0 ? claim : { ...claim, owned };
    });
  }

  /** Gives up what a life has had, once it is purged. */
  async giveUp({ pipeline, life }: { readonly pipeline: string; readonly life: string }): Promise<void> {
    await this.change(owned => ({ owned: owned.filter(one => one.pipeline !== pipeline || one.life !== life) }));
  }

  async #held(): Promise<{ owned: readonly Owned[]; at: number; text: string }> {
    const entry = await this.#registry.get(KEY);
    const none = { owned: [], at: entry?.revision ?? 0, text: JSON.stringify({ version: VERSION, owned: [] }) };
    if (entry === null) return none;
    const text = Buffer.from(entry.value).toString();
    return { owned: ownedOf(text), at: entry.revision, text };
  }
}

function ownedOf(text: string): readonly Owned[] {
  let document: { readonly version?: unknown; readonly owned?: unknown };
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw damaged(cause);
  }
  if (document?.version !== VERSION || !Array.isArray(document.owned)) throw damaged();
  return document.owned as readonly Owned[];
}

function damaged(cause?: unknown): MillraceError {
  const text =
    'the registry entry of who owns which subjects is damaged; restore the bucket, or delete the key owners and deploy all pipelines again';
  return new MillraceError('JOURNAL_CORRUPT', text, { cause });
}
