/**
 * Under which subjects the rows of a bucket lie. A bucket that copies another keeps the other's subjects, unless it says
 * what becomes of them: a mirror's rows are the origin's, and their keys begin where the origin's do. Where rows would lie
 * under several beginnings a key could mean several rows, and that is a mistake. Pure.
 */
import type { CopiedStream } from '../port/stream-config.ts';
import { bucketStream, bucketSubjects } from '../record/names.ts';
import { covers } from '../record/subject.ts';
import type { InfoOf } from './copies.ts';

type Bucket = NonNullable<ReturnType<InfoOf>>;

/** Subjects of the rows, as `bucketSubjects` gives them; or what is wrong. */
export function rowsOfBucket(bucket: string, info: Bucket, infoOf: InfoOf): { subject: string } | { mistake: string } {
  const own = bucketSubjects(bucket);
  const { name, subjects, config } = info;
  if (config.mirror !== null) return rowsOfMirror(bucket, config.mirror, infoOf);
  if (!subjects.some(subject => covers(subject, own))) {
    return { mistake: `stream '${name}' does not keep '${own}', so it is no KV bucket: make one with nats kv add` };
  }
  for (const stream of config.sources) {
    const from = beginning(stream, infoOf);
    if (isRenamed(stream, { from, own })) continue;
    return {
      mistake:
        `bucket '${bucket}' copies rows of stream '${stream.name}', which lie in it under the subjects that they had there: ` +
        `give that source of '${name}' a subject transform, from '${from}' to '${own}', or join each bucket as a table of its own`,
    };
  }
  return { subject: own };
}

function rowsOfMirror(bucket: string, origin: CopiedStream, infoOf: InfoOf): { subject: string } | { mistake: string } {
  const own = bucketSubjects(bucket);
  const subject = beginning(origin, infoOf);
  if (isRenamed(origin, { from: subject, own })) return { subject: own };
  if (origin.renamed.length === 0 && subject !== '>') return { subject };
  return {
    mistake:
      `bucket '${bucket}' is a mirror of stream '${origin.name}', and under which subjects its rows lie cannot be told: ` +
      `let it mirror a bucket (KV_<name>) as it is, or with one subject transform, from '${subject}' to '${own}'`,
  };
}

/** All that is copied is kept under subjects of the bucket's own. */
function isRenamed({ renamed }: CopiedStream, { from, own }: { from: string; own: string }): boolean {
  const begin = own.slice(0, -1);
  return renamed.some(({ src }) => covers(src || '>', from)) && renamed.every(({ dest }) => dest.startsWith(begin));
}

/** Where the rows of a bucket lie in its stream, which may itself be a mirror; of another stream nothing is known. */
function beginning({ name, external }: CopiedStream, infoOf: InfoOf): string {
  const prefix = bucketStream('');
  if (!name.startsWith(prefix)) return '>';
  const bucket = name.slice(prefix.length);
  const info = external === undefined ? infoOf(name) : null;
  if (info === null) return bucketSubjects(bucket);
  // None is its own origin.
  const rows = rowsOfBucket(bucket, info, other => (other === name ? null : infoOf(other)));
  return 'mistake' in rows ? '>' : rows.subject;
}
