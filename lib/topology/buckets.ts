/**
 * Under which subjects the rows of a bucket lie. A bucket that copies another keeps the other's subjects, unless it says
 * what becomes of them: a mirror's rows are the origin's, and their keys begin where the origin's do. Where rows would lie
 * under several beginnings a key could mean several rows, and that is a mistake. Pure.
 */
import type { StreamInfo } from '../port/log.ts';
import type { CopiedStream } from '../port/stream-config.ts';
import { bucketStream, bucketSubjects } from '../record/names.ts';
import { covers } from '../record/subject.ts';

/** Subjects of the rows, as `bucketSubjects` gives them; or what is wrong. */
export function rowsOfBucket(bucket: string, info: StreamInfo): { subject: string } | { mistake: string } {
  const own = bucketSubjects(bucket);
  const { name, subjects, config } = info;
  if (config.mirror !== null) return rowsOfMirror(bucket, config.mirror);
  if (!subjects.some(subject => covers(subject, own))) {
    return { mistake: `stream '${name}' does not keep '${own}', so it is no KV bucket: make one with nats kv add` };
  }
  for (const stream of config.sources) {
    if (isRenamed(stream, own)) continue;
    const from = beginning(stream);
    return {
      mistake:
        `bucket '${bucket}' copies rows of stream '${stream.name}', which lie in it under the subjects that they had there: ` +
        `give that source of '${name}' a subject transform, from '${from}' to '${own}', or join each bucket as a table of its own`,
    };
  }
  return { subject: own };
}

function rowsOfMirror(bucket: string, origin: CopiedStream): { subject: string } | { mistake: string } {
  const own = bucketSubjects(bucket);
  if (isRenamed(origin, own)) return { subject: own };
  const subject = beginning(origin);
  if (origin.renamed.length === 0 && subject !== '>') return { subject };
  return {
    mistake:
      `bucket '${bucket}' is a mirror of stream '${origin.name}', and under which subjects its rows lie cannot be told: ` +
      `let it mirror a bucket (KV_<name>) as it is, or with one subject transform, from '${subject}' to '${own}'`,
  };
}

/** All that is copied is kept under subjects of the bucket's own. */
function isRenamed(stream: CopiedStream, own: string): boolean {
  const begin = own.slice(0, -1);
  const { renamed } = stream;
  return (
    renamed.some(({ src }) => covers(src || '>', beginning(stream))) &&
    renamed.every(({ dest }) => dest.startsWith(begin))
  );
}

/** Where the rows of a bucket lie in its stream; of another stream nothing is known. */
function beginning({ name }: CopiedStream): string {
  const prefix = bucketStream('');
  return name.startsWith(prefix) ? bucketSubjects(name.slice(prefix.length)) : '>';
}
