/**
 * Names: the one page that says what Millrace calls its streams and subjects, and what a name may look like. Everything
 * that a pipeline keeps in the broker can be found, and cleaned up, by these patterns alone.
 *
 *   stream                           subjects, each after `_mr.<pipeline>.`          who writes
 *   MR_<pipeline>_<life>_journal     j.<life>.<stage>.<partition>                    the task: its journal
 *   MR_<pipeline>_<life>_x_<stage>   x.<life>.<stage>.<partition>.<input>.<writer>   one writer to one task
 *                                    w.<life>.<stage>.<input>.<writer>               one writer to all tasks of a stage
 *   a sink's stream                  the user's own, and for a shared sink its markers:
 *                                    m.<sink>.<life>.<stage>.<partition>             the task: what of it is in
 *   MR_<pipeline>_letters            millrace.<pipeline>.dead.<operator>             dead letters
 *                                    millrace.<pipeline>.late.<operator>             late records
 *                                    l.<life>.<writer>                               the markers of both
 *                                    l.gone.<sequence>                               which letters of a message are gone
 *   MR_AUDIT                         _mr.AUDIT.<pipeline>, or _mr.AUDIT._            any worker: who has changed what
 *
 * What workers say to each other is on `_mr._peer.>`, which is no pipeline's and no stream's.
 *
 * Streams of one account may not overlap in their subjects, hence a sink's markers carry the sink's name and letters
 * have a letter of their own. Names are unique within their kind, so every subject has one meaning.
 *
 * Every name of a chain has the pipeline's *life* in it, and so has every stream that a purge deletes: a worker that was
 * frozen in the middle of a purge, or of a commit, cannot reach what the pipeline keeps when it is deployed again. The
 * stream of letters outlives all lives, since its subjects are the users' to know: a purge empties it, up to a sequence.
 */
import { createHash } from 'node:crypto';
import { hash32 } from '../base/hash.ts';

/** A pipeline in one of its lives. */
export interface Deployment {
  readonly pipeline: string;
  /**
   * Made when the pipeline is first deployed, and anew when it is deployed again after a purge; its revisions share it. A
   * subject token that no two lives ever share.
   */
  readonly life: string;
}

/** Pipelines: short, since the name is part of every subject. */
export const PIPELINE_NAME = /^[a-z0-9-]{1,40}$/;

/** Operators, sources, sinks, stages and inputs: one subject token each, also a part of file and table names. */
export const OPERATOR_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** Streams, as the broker takes them and as a folder can be called. */
export const STREAM_NAME = /^[A-Za-z0-9_-]{1,128}$/;

/** Those that pipelines publish on beside letters and results: in streams with either these are markers. */
export const INTERNAL_SUBJECTS = '_mr.>';

/** Nothing but Millrace may publish there. */
export function isInternal(subject: string): boolean {
  return subject.startsWith('_mr.') || subject.startsWith('_mrb.');
}

/** How no subject of a sink may begin: like those of Millrace, or of the broker itself. */
export const RESERVED_SUBJECT = /^(_mrb?|millrace|\$[^.]*|_INBOX)(\.|$)/;

/** Who appends to a channel: a reader, or a task of another stage. The two never look alike. */
export function readerWriter(reader: string): string {
  return `r-${reader}`;
}

export function taskWriter(task: { stage: string; partition: number }): string {
  return `t-${task.stage}-${task.partition}`;
}

export function journalStream({ pipeline, life }: Deployment): string {
  return `MR_${pipeline}_${life}_journal`;
}

export function journalSubjects({ pipeline, life }: Deployment): string {
  return `_mr.${pipeline}.j.${life}.>`;
}

/** Journals of all lives; as a rule one life has any. */
export function journalsOfAllLives(pipeline: string): string {
  return `_mr.${pipeline}.j.>`;
}

/** The life whose `journalStream` it is; null: it is none of this pipeline's. */
export function lifeOfJournal(pipeline: string, stream: string): string | null {
  const [before, after] = [`MR_${pipeline}_`, '_journal'];
  if (!stream.startsWith(before) || !stream.endsWith(after)) return null;
  return stream.slice(before.length, -after.length);
}

export function journalSubject({ pipeline, life }: Deployment, task: { stage: string; partition: number }): string {
  return `_mr.${pipeline}.j.${life}.${task.stage}.${task.partition}`;
}

/** What is sent to a stage: rows of its tables (`bootstrap`), or all else. */
export interface Inlet {
  readonly stage: string;
  readonly bootstrap?: boolean | undefined;
}

/**
 * A stream for each stage that is sent to, and another for its tables: it is bounded, and when it is full its writers wait.
 * Were it shared between stages, a stage could wait for room that only its own waiting would make; and so could a table,
 * which is read to its end while what waits for it fills the stream.
 */
export function channelsStream({ pipeline, life }: Deployment, { stage, bootstrap }: Inlet): string {
  return `MR_${pipeline}_${life}_${bootstrap ? 't' : 'x'}_${stage}`;
}

/** All channels into it, then all broadcasts. */
export function channelsSubjects({ pipeline, life }: Deployment, { stage, bootstrap }: Inlet): readonly string[] {
  return (bootstrap ? ['t', 'tw'] : ['x', 'w']).map(kind => `_mr.${pipeline}.${kind}.${life}.${stage}.>`);
}

export function channelSubject(
  { pipeline, life }: Deployment,
  channel: Inlet & { partition: number; input: string; writer: string },
): string {
  const { stage, bootstrap, partition, input, writer } = channel;
  return `_mr.${pipeline}.${bootstrap ? 't' : 'x'}.${life}.${stage}.${partition}.${input}.${writer}`;
}

/** Watermarks and positions of one writer, for all tasks of the stage at once. */
export function broadcastSubject(
  { pipeline, life }: Deployment,
  { stage, bootstrap, input, writer }: Inlet & { input: string; writer: string },
): string {
  return `_mr.${pipeline}.${bootstrap ? 'tw' : 'w'}.${life}.${stage}.${input}.${writer}`;
}

/** Who wrote a message of a stage's channels, and whether it is a frame or a broadcast. */
export function writerOf(subject: string): { readonly writer: string; readonly kind: 'frame' | 'broadcast' } {
  const tokens = subject.split('.');
  return { writer: tokens.at(-1)!, kind: tokens[2]!.endsWith('w') ? 'broadcast' : 'frame' };
}

/** What the stream of a shared sink must list besides the sink's own subjects, whatever the pipeline's life. */
export function markerSubjects(pipeline: string, sink: string): string {
  return `_mr.${pipeline}.m.${sink}.>`;
}

export function markerSubject(
  { pipeline, life }: Deployment,
  marker: { sink: string; stage: string; partition: number },
): string {
  return `_mr.${pipeline}.m.${marker.sink}.${life}.${marker.stage}.${marker.partition}`;
}

/** The markers of one life, of all tasks. */
export function markersOfLife({ pipeline, life }: Deployment, sink: string): string {
  return `_mr.${pipeline}.m.${sink}.${life}.>`;
}

export function lettersStream(pipeline: string): string {
  return `MR_${pipeline}_letters`;
}

export function lettersSubjects(pipeline: string): readonly string[] {
  return [`millrace.${pipeline}.dead.>`, `millrace.${pipeline}.late.>`, `_mr.${pipeline}.l.>`];
}

export function letterSubject(pipeline: string, letter: { kind: 'dead' | 'late'; operator: string }): string {
  return `millrace.${pipeline}.${letter.kind}.${letter.operator}`;
}

/** What a `letterSubject` was made of; null: it is none, but a marker's, for instance. */
export function partsOfLetter(subject: string): { readonly kind: 'dead' | 'late'; readonly operator: string } | null {
  const [first, , kind, ...operator] = subject.split('.');
  if (first !== 'millrace' || (kind !== 'dead' && kind !== 'late')) return null;
  return { kind, operator: operator.join('.') };
}

/** `writer` is `readerWriter` or `taskWriter`. */
export function letterMarkerSubject({ pipeline, life }: Deployment, writer: string): string {
  return `_mr.${pipeline}.l.${life}.${writer}`;
}

/** Who has changed what; of the whole cluster. No pipeline is called so: their names have no capitals. */
export const AUDIT_STREAM = 'MR_AUDIT';
export const AUDIT_SUBJECTS = '_mr.AUDIT.>';

/** Null: about no pipeline. What is no name of a pipeline, and was asked for all the same, is not either. */
export function auditSubject(pipeline: string | null): string {
  return `_mr.AUDIT.${pipeline !== null && PIPELINE_NAME.test(pipeline) ? pipeline : '_'}`;
}

/** Where it is said which letters of a message of many are gone. No life is called so. */
export function goneSubject(pipeline: string, seq: number): string {
  return `_mr.${pipeline}.l.gone.${seq}`;
}

export function goneSubjects(pipeline: string): string {
  return `_mr.${pipeline}.l.gone.*`;
}

/** The sequence of a `goneSubject`. */
export function seqOfGone(subject: string): number {
  return Number(subject.slice(subject.lastIndexOf('.') + 1));
}

/** The blob that says that the life has begun: all streams of it had been made. No stage's state lies there. */
export function begunBlob(deployment: Deployment): string {
  return `${stateLocation(deployment)}/begun`;
}

/** What workers say to each other. */
export const PEER_SUBJECTS = '_mr._peer.>';

/** What each worker of a cluster tells all the others, several times a second. No pipeline's name begins so. */
export function peerBeats(cluster: string): string {
  return `_mr._peer.beat.${cluster}`;
}

/** Where a worker is asked. */
export function peerQuestions(cluster: string, member: string): string {
  return `_mr._peer.ask.${cluster}.${member}`;
}

/** Where answers to whoever has asked under that id go, each to a token more. */
export function peerAnswers(id: string): string {
  return `_mr._peer.answer.${id}`;
}

/** Where snapshots of a task lie in the blobs, and its state on disks. Without a task: those of the whole life. */
export function stateLocation({ pipeline, life }: Deployment, task?: { stage: string; partition: number }): string {
  return `${pipeline}/${life}${task === undefined ? '' : `/${task.stage}/${task.partition}`}`;
}

/** The stream that keeps a KV bucket, and its subjects: the bucket, then the key. */
export function bucketStream(bucket: string): string {
  return `KV_${bucket}`;
}

export function bucketSubjects(bucket: string): string {
  return `$KV.${bucket}.>`;
}

/** The bucket of `bucketSubjects`. */
export function bucketOf(subjects: string): string {
  return subjects.slice('$KV.'.length, -'.>'.length);
}

/** The stream that keeps the blobs of a cluster, and its subjects. */
export function blobsStream(bucket: string): string {
  return `MRB_${bucket}`;
}

export function blobsSubjects(bucket: string): string {
  return `_mrb.${bucket}.>`;
}

/** All subjects that a pipeline keeps its own on, letters apart. */
export function internalSubjects(pipeline: string): string {
  return `_mr.${pipeline}.>`;
}

/** Whether a stream is Millrace's own: of any pipeline, or of the cluster with that bucket. */
export function isOwnStream(name: string, bucket: string): boolean {
  return name.startsWith('MR_') || name === bucketStream(bucket) || name === blobsStream(bucket);
}

/** What tools know kinds of streams by, so that none is made for a subject which begins so. */
const RESERVED_STREAM = /^(MRB?|KV|OBJ)_/;
const STREAM_LENGTH_MAX = 100;
const STREAM_DIGEST_LENGTH = 16;

/**
 * What a stream that Millrace makes for a user's subject may be called, the first that is free: after the subject's
 * literal beginning, `analytics.hires.*` → `analytics_hires`; after all of it, `analytics_hires_any`; and after a digest
 * of it, which is no other subject's. What cannot be read in a name (another script, `/`, very long) has the digest alone.
 */
export function streamNamesFor(subject: string): readonly string[] {
  const tokens = subject.split('.');
  const literal = tokens.slice(0, tokens.findIndex(isWild) >>> 0);
  const readable = [literal.join('_') || 'all', tokens.map(plain).join('_')];
  const fitting = readable.filter(name => OWN_STREAM_NAME.test(name) && !RESERVED_STREAM.test(name));
  return [...new Set([...fitting, digestName(subject)])];
}

const OWN_STREAM_NAME = new RegExp(`^[A-Za-z0-9_-]{1,${STREAM_LENGTH_MAX}}$`);

/** The first name of `streamNamesFor` that is not taken; if all are, the last. */
export function freeStreamName(subject: string, isTaken: (name: string) => boolean): string {
  const names = streamNamesFor(subject);
  return names.find(name => !isTaken(name)) ?? names.at(-1)!;
}

function digestName(subject: string): string {
  const digest = createHash('sha256').update(subject).digest('hex').slice(0, STREAM_DIGEST_LENGTH);
  const words = tokensOf(subject)
    .join('_')
    .replace(RESERVED_STREAM, '')
    .replace(/^_+|_+$/g, '');
  return `${words.slice(0, STREAM_LENGTH_MAX - STREAM_DIGEST_LENGTH - 2) || 'subject'}__${digest}`;
}

/** A subject as one token: `hr.employee.*` → `hr-employee-any`. */
export function nameFor(subject: string): string {
  return fittedName(subject.split('.').map(plain).join('-'));
}

const FITTED_LENGTH_MAX = 60;
const DIGEST_LENGTH = 8;
const IN_ASCII = /^[\x20-\x7e]*$/;

/**
 * A text as an `OPERATOR_NAME`; a long one, or one in another script, ends in a digest of the whole, so that what begins
 * or looks alike stays apart.
 */
export function fittedName(text: string): string {
  const name = text.replace(/[^A-Za-z0-9_-]/g, '_');
  if (name.length <= FITTED_LENGTH_MAX && IN_ASCII.test(text)) return name;
  const digest = hash32(text).toString(16).padStart(DIGEST_LENGTH, '0');
  return `${name.slice(0, FITTED_LENGTH_MAX - DIGEST_LENGTH - 1)}-${digest}`;
}

function tokensOf(subject: string): string[] {
  return subject.split('.').map(token => plain(token).replace(/[^A-Za-z0-9_-]/g, '_'));
}

function plain(token: string): string {
  return token === '*' ? 'any' : token === '>' ? 'all' : token;
}

function isWild(token: string): boolean {
  return token === '*' || token === '>';
}

/** Ends the name under which a commit says how many rows of an input's next message are in; absent: none. */
export const ROWS = '@rows';
