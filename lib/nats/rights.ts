/**
 * What we ask JetStream for, as subjects that a server can permit: made from the table of all questions (`api.ts`), which
 * nothing can be asked beside. Streams are named by patterns of whole tokens, so a right is to one stream or to all.
 */
import { bucketStream } from '../record/names.ts';
import { API, TOPICS } from './api.ts';
import { pullTopic } from './feed.ts';

/** Questions that change nothing of a stream. */
const ASKING = /^(INFO|STREAM\.(LIST|NAMES|INFO\.|MSG\.GET\.)|CONSUMER\.)/;
/** Questions after which a stream is no longer what it was. */
const CHANGING = /^STREAM\.(UPDATE|DELETE|PURGE|MSG\.DELETE)\./;

export interface RequestScope {
  /** The cluster's: the one stream whose settings we change. */
  readonly bucket: string;
  /** `*`: all. */
  readonly stream: string;
}

/** One subject for each question that there is. */
export function requestSubjects(scope: RequestScope): string[] {
  return subjectsOf(TOPICS, scope);
}

/** Those of who only looks. */
export function lookingSubjects(scope: RequestScope): string[] {
  return subjectsOf(
    TOPICS.filter(topic => ASKING.test(topic) && !topic.startsWith('CONSUMER.')),
    scope,
  );
}

/** What clients ask before they use JetStream at all. */
export const GREETING_SUBJECT = `${API}INFO`;

/** Those of who reads one stream by a consumer, ours or another client's with names of its own. */
export function readingSubjects(stream: string): string[] {
  const own = subjectsOf(['STREAM.INFO.', 'CONSUMER.CREATE.', 'CONSUMER.DELETE.'], { bucket: '', stream });
  const others = ['CONSUMER.CREATE', 'CONSUMER.INFO'].map(topic => `${API}${topic}.${stream}.>`);
  return [...new Set([GREETING_SUBJECT, ...own, ...others, `$JS.ACK.${stream}.>`])].filter(
    subject => !others.some(other => subject !== other && subject.startsWith(other.slice(0, -1))),
  );
}

/** Those that a stream which is only read must be safe from. */
export function changingSubjects(stream: string): string[] {
  return TOPICS.filter(topic => CHANGING.test(topic)).map(topic => API + topic + stream);
}

function subjectsOf(topics: readonly string[], { bucket, stream }: RequestScope): string[] {
  const subjects = topics.map(topic => {
    if (!topic.endsWith('.')) return API + topic;
    const of = topic === 'STREAM.UPDATE.' ? bucketStream(bucket) : stream;
    return `${API}${topic}${of}${topic.startsWith('CONSUMER.') ? '.*' : ''}`;
  });
  const reads = topics.some(topic => topic.startsWith('CONSUMER.'));
  return reads ? [...subjects, API + pullTopic(stream, '*')] : subjects;
}
