/**
 * Which stream each source reads: the one that keeps its subject, one that is made for it, or those that its author lists.
 * Pure.
 *
 * A source reads what its streams *hold* under its subject. Without a list that must be all that the broker keeps of the
 * subject, so what is kept in several streams, or under another subject than it was sent to, is a mistake that says what
 * to write: half of the records would be missing, and nothing would show it. Whether
 * a stream's other settings allow it to be read is judged by their table (`fits.ts`).
 */
import type { StreamInfo } from '../port/log.ts';
import { copiedBy } from '../port/stream-config.ts';
import { bucketOf, bucketStream, freeStreamName, isInternal, RESERVED_SUBJECT } from '../record/names.ts';
import { covers, overlaps } from '../record/subject.ts';
import type { SourceSpec } from '../source/spec.ts';
import type { BrokerView } from './broker.ts';
import { rowsOfBucket } from './buckets.ts';
import { heldOf, type InfoOf, sharedOrigin } from './copies.ts';
import type { Fits } from './fits.ts';
import type { GraphNode, SourceNode } from './graph.ts';
import { keepsAtLeast } from './stream-kept.ts';
import { patternOf } from './stream-taken.ts';

type Tell = (node: GraphNode, message: string) => void;

/** By the source's node. A source without a stream is reported and left out. */
export function resolveSources(
  sources: readonly SourceNode[],
  context: { view: BrokerView; mistake: Tell; fits: Fits },
): Map<number, SourceSpec> {
  const { view, mistake, fits } = context;
  const resolved = new Map<number, SourceSpec>();
  const captures = capturesOf(sources, view, mistake);
  for (const node of sources) {
    const { source, name } = node;
    const { subject } = source;
    const resolve = (stream: string, limits: Pick<SourceSpec, 'capture' | 'keeps'>) =>
      resolved.set(node.id, { ...source, name, stream, ...limits });
    if (source.kind === 'kv') {
      const bucket = bucketOf(subject);
      const stream = bucketStream(bucket);
      const info = view.info(stream);
      const rows =
        info === null
          ? { mistake: `there is no KV bucket '${bucket}': make it with nats kv add ${bucket}` }
          : rowsOfBucket(bucket, info, view.info);
      if ('mistake' in rows) mistake(node, rows.mistake);
      else if (info !== null) fits(node, info, { role: 'table', subjects: [rows.subject], batches: false });
      resolved.set(node.id, { ...source, name, stream, capture: null, ...('mistake' in rows ? {} : rows) });
      continue;
    }
    if (isInternal(subject)) mistake(node, `'${subject}' is what Millrace keeps for itself, and nobody's records`);
    const captured = captures.get(node.id);
    if (captured !== undefined) {
      resolve(captured.stream, captured);
      continue;
    }
    if (source.stream !== null) {
      const wrong = listedWrong(source.stream, source, view);
      const info = view.info(source.stream);
      if (wrong !== null) mistake(node, wrong);
      // Its author takes what it holds, under whatever subjects that was sent.
      else if (info !== null) fits(node, info, { role: 'source', subjects: [], batches: false });
      resolve(source.stream, { capture: null, keeps: null });
      continue;
    }
    const keepers = keepersOf(subject, view);
    const wrong = foundWrong(keepers, source, view);
    const [keeper] = keepers;
    if (wrong !== null) mistake(node, wrong);
    if (keeper === undefined) continue;
    const keeps = source.capture !== null && keepsAtLeast(keeper.config, source.capture) ? source.capture : null;
    if (wrong === null) fits(node, keeper, { role: 'source', subjects: [subject], batches: false, keeps });
    resolve(keeper.name, { capture: null, keeps });
  }
  return resolved;
}

/**
 * Whether the stream lists the subject, or a part of it. What Millrace and the broker keep for themselves is nothing that
 * an author means who begins with a wildcard.
 */
export function keeps({ subjects }: Pick<StreamInfo, 'subjects'>, subject: string): boolean {
  const isMeant = RESERVED_SUBJECT.test(subject) ? () => true : (own: string) => !RESERVED_SUBJECT.test(own);
  return subjects.some(own => overlaps(own, subject) && isMeant(own));
}

function keepersOf(subject: string, view: BrokerView): StreamInfo[] {
  return view.streamsOf(subject).filter(info => keeps(info, subject));
}

/** What is wrong with reading what was found; null: nothing. */
function foundWrong(
  keepers: readonly StreamInfo[],
  { subject, capture }: Pick<SourceSpec, 'subject' | 'capture'>,
  view: BrokerView,
): string | null {
  const [keeper, ...others] = keepers;
  if (keeper === undefined) {
    const name = freeStreamName(subject, one => view.info(one) !== null);
    return (
      `no stream keeps '${subject}': make one (nats stream add ${name} --subjects='${subject}'), or say capture: true and ` +
      "one is made for you; one that holds it and lists other subjects (a mirror, a copy, a transform) is to be named: streams: ['…']"
    );
  }
  if (others.length > 0) {
    const copying = keepers.find(({ config }) =>
      copiedBy(config).some(copied => keepers.some(({ name }) => name === copied)),
    );
    return (
      `${listed(keepers, ' and ')} each keep a part of '${subject}': list those that are to be read, ` +
      `streams: [${listed(keepers, ', ', '')}]${capture === null ? '' : ', in place of capture'}` +
      (copying === undefined ? '' : `; '${copying.name}' holds copies of what another has, so that one is enough`)
    );
  }
  const { name, subjects } = keeper;
  const moved = movedText(keeper, subject);
  if (moved !== null) return moved;
  if (capture === null || subjects.some(own => covers(own, subject))) return null;
  const rest = subjects.filter(own => !covers(subject, own));
  // A stream cannot list two subjects that overlap.
  const edit = rest.some(own => overlaps(own, subject))
    ? `let it list what covers both (nats stream edit ${name})`
    : `nats stream edit ${name} --subjects='${[...rest, subject].join(',')}'`;
  return (
    `stream '${name}' keeps a part of '${subject}' only (${subjects.map(own => `'${own}'`).join(', ')}), and no other can be ` +
    `made for the whole: ${edit}; or leave capture out, and that part is read`
  );
}

/** What is wrong with reading a stream that the author lists; null: nothing. */
function listedWrong(
  stream: string,
  { subject, streams }: Pick<SourceSpec, 'subject' | 'streams'>,
  view: BrokerView,
): string | null {
  const info = view.info(stream);
  if (info === null) return `there is no stream '${stream}', which streams names: make it, or leave it out`;
  const twice = twiceText({ subject, stream, streams }, view.info);
  if (twice !== null || holds(info, subject, view.info)) return twice;
  return `stream '${stream}', which streams names, holds nothing of '${subject}': ${takesText(info)}`;
}

/** Which messages would come twice, since two of a source's streams hold them; null: none. The later one of the two says so. */
export function twiceText(
  { subject, stream, streams }: Pick<SourceSpec, 'subject' | 'stream' | 'streams'>,
  infoOf: InfoOf,
): string | null {
  const held = heldOf(subject, stream, infoOf);
  for (const other of streams.slice(0, streams.indexOf(stream))) {
    const origin = sharedOrigin(held, heldOf(subject, other, infoOf));
    if (origin === null) continue;
    const [copy, copied] = origin === stream ? [other, stream] : [stream, other];
    const how =
      origin === copied
        ? `stream '${copy}' copies from '${copied}', so messages of both`
        : `streams '${other}' and '${stream}' both copy from '${origin}', so messages of it`;
    return `${how} would come twice: leave one of them out of streams`;
  }
  return null;
}

/** Whether what is sent to the stream, or what it copies, has the subject there. */
export function holds(info: StreamInfo, subject: string, infoOf: InfoOf): boolean {
  const { name, config } = info;
  const moved = config.subjectTransform;
  if (keeps(info, subject) || (moved !== null && overlaps(patternOf(moved.dest), subject))) return true;
  return heldOf(subject, name, infoOf).some(({ origin }) => origin !== name);
}

/** What a stream takes, and where from. */
export function takesText({ subjects, config }: StreamInfo): string {
  const copied = copiedBy(config).map(name => `'${name}'`);
  return [
    `it lists ${subjects.length === 0 ? 'nothing' : subjects.map(own => `'${own}'`).join(', ')}`,
    ...(copied.length === 0 ? [] : [`copies from ${copied.join(', ')} under other subjects, or others than these`]),
  ].join(', and ');
}

function listed(infos: readonly StreamInfo[], joint: string, word = 'streams '): string {
  return word + infos.map(({ name }) => `'${name}'`).join(joint);
}

/** What a transform of the stream takes from the source, and what to do; null: nothing. */
export function movedText({ name, config }: StreamInfo, subject: string): string | null {
  if (config.subjectTransform === null) return null;
  const { src, dest } = config.subjectTransform;
  const from = src || '>';
  const kept = patternOf(dest);
  if (!overlaps(from, subject) || covers(subject, kept)) return null;
  return (
    `stream '${name}' keeps what is sent to '${from}' under '${kept}' (a subject transform), where '${subject}' ` +
    `does not find it: from('${kept}', { streams: ['${name}'] }), or from('${subject}', { streams: ['${name}'] }) for what is left`
  );
}

/**
 * The streams to be made, by the nodes that read them. Where several captures overlap, the widest makes the stream and the
 * others read it. No two get one name, whatever their subjects look like.
 */
function capturesOf(
  sources: readonly SourceNode[],
  view: BrokerView,
  mistake: Tell,
): Map<number, Pick<SourceSpec, 'stream' | 'capture' | 'keeps'>> {
  const captures = sources.filter(
    ({ source }) => source.capture !== null && source.stream === null && keepersOf(source.subject, view).length === 0,
  );
  const names = new Map<number, string>();
  const isTaken = (name: string) => view.info(name) !== null || [...names.values()].includes(name);
  const made = new Map<number, Pick<SourceSpec, 'stream' | 'capture' | 'keeps'>>();
  for (const node of captures) {
    const widest = widestOf(node, captures, mistake);
    const { subject, capture } = widest.source;
    if (!names.has(widest.id)) {
      const stream = freeStreamName(subject, isTaken);
      if (isTaken(stream)) {
        const command = `nats stream edit ${stream} --subjects='${subject}'`;
        mistake(node, `a stream '${stream}' exists, but it does not keep '${subject}': ${command}, or remove it`);
      }
      names.set(widest.id, stream);
    }
    const stream = names.get(widest.id)!;
    made.set(node.id, { stream, capture: widest === node ? capture : null, keeps: capture });
  }
  return made;
}

function widestOf(node: SourceNode, captures: readonly SourceNode[], mistake: Tell): SourceNode {
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
  return widest;
}
