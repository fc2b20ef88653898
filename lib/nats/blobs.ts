/**
 * The blob port on a stream of our own: a blob is a run of chunks and then a manifest that names each chunk's sequence,
 * the length and a SHA-256. The manifest goes last and is fenced, so a name either exists whole or not at all, and the
 * first who writes it wins. Where the broker has lost a part of what a manifest names, the next put lays a manifest of its
 * own over it, fenced as well: who reads meanwhile finds the one or the other.
 *
 *   _mrb.<bucket>.c.<upload>   the chunks of one upload
 *   _mrb.<bucket>.m.<name>     the manifest; slashes of the name are dots, so that a prefix is a subject filter
 *
 * The client's object store is not used: it answers from replicas, which may not have heard yet of a blob that a
 * journal already points to, and it publishes message by message. Reading chunks by sequence asks the leader and
 * needs no consumer.
 *
 * Chunks may lie there twice (a lost answer, sent again) and for nothing (a crash before the manifest): the manifest
 * says which count, and `sweep` removes uploads that no manifest names.
 */
import { createHash } from 'node:crypto';
import { nuid } from 'nats';
import { invariant, MillraceError } from '../base/errors.ts';
import type { Blobs } from '../port/blob.ts';
import { roomIn, type StoredMessage } from '../port/log.ts';
import { blobsStream, blobsSubjects } from '../record/names.ts';
import { isoTimeMs } from '../window/iso-time.ts';
import { askOrThrow } from './api.ts';
import type { NatsLink } from './connection.ts';
import { textOf } from './headers.ts';
import { NatsLog } from './log.ts';
import { land, subjectsOf } from './subject-map.ts';

export interface NatsBlobsOptions {
  /** `[a-zA-Z0-9_-]+`; its stream is `MRB_<bucket>`, made if there is none. */
  readonly bucket: string;
  readonly replicas?: number;
  readonly storage?: 'file' | 'memory';
  /** Longest chunk; what the broker and the stream take may make it less. Default 512 KiB. */
  readonly chunkBytesMax?: number;
}

interface Manifest {
  readonly upload: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Sequences of the chunks, in order. */
  readonly chunks: readonly number[];
}

/** What is kept under a name: the sequence and upload of its manifest, and its content or why that cannot be read. */
type Found = { readonly seq: number; readonly upload: string | null } & (
  | { readonly content: Uint8Array }
  | { readonly content: null; readonly why: string }
);

/** Memory in flight: this many chunks. */
const CHUNKS_AT_ONCE = 8;
const HEAD_ROOM_BYTES = 1024;

/** Makes the stream if there is none. Throws BROKER_UNAVAILABLE, BROKER_REFUSED. */
export async function openBlobs(link: NatsLink, options: NatsBlobsOptions): Promise<NatsBlobs> {
  const { bucket, replicas = 1, storage = 'file' } = options;
  if (!/^[\w-]+$/.test(bucket)) {
    throw new MillraceError('INVALID_ARGUMENT', `"${bucket}" is no bucket name: [a-zA-Z0-9_-] only`);
  }
  await new NatsLog(link).ensureStream({
    name: blobsStream(bucket),
    subjects: [blobsSubjects(bucket)],
    description: 'snapshots and pipeline bundles',
    discard: 'new',
    replicas,
    storage,
  });
  return new NatsBlobs(link, options);
}

export class NatsBlobs implements Blobs {
  readonly #link: NatsLink;
  readonly #log: NatsLog;
  readonly #stream: string;
  readonly #prefix: string;
  readonly #chunkBytesMax: number;

  /** For a stream that exists: see `openBlobs`. */
  constructor(link: NatsLink, { bucket, chunkBytesMax = 512 << 10 }: NatsBlobsOptions) {
    invariant(chunkBytesMax > 0, 'chunkBytesMax is positive');
    this.#link = link;
    this.#log = new NatsLog(link);
    this.#stream = blobsStream(bucket);
    this.#prefix = blobsSubjects(bucket).slice(0, -1);
    this.#chunkBytesMax = chunkBytesMax;
  }

  async put(name: string, content: Uint8Array): Promise<boolean> {
    const subject = this.#manifestSubject(name);
    const found = await this.#find(name);
    if (found?.content != null) return false;
    const upload = nuid.next();
    const chunks = await this.#upload(this.#chunksOf(upload), content);
    const manifest: Manifest = { upload, bytes: content.length, sha256: digestOf(content), chunks };
    const data = Buffer.from(JSON.stringify(manifest));
    const outcome = await land(this.#log, { stream: this.#stream, subject, data, expect: found?.seq ?? 0 });
    if (outcome.kind === 'moved') {
      const last = await this.#last(subject);
      if (last === null || manifestOf(last)?.upload !== upload) {
        await this.#purge(this.#chunksOf(upload));
        // Somebody else was first, which is as good, unless it has been deleted since.
        return last === null ? this.put(name, content) : false;
      }
    }
    if (found !== null) {
      await this.#log.trim({ stream: this.#stream, subject, before: found.seq + 1 });
      if (found.upload !== null) await this.#purge(this.#chunksOf(found.upload));
    }
    return true;
  }

  async get(name: string): Promise<Uint8Array | null> {
    const found = await this.#find(name);
    if (found === null) return null;
    if (found.content !== null) return found.content;
    throw new MillraceError(
      'JOURNAL_CORRUPT',
      `the blob ${name} cannot be read: ${found.why}; restore it from a backup`,
    );
  }

  /** The manifest first: what is left after a crash in between belongs to no name. */
  async delete(name: string): Promise<void> {
    const subject = this.#manifestSubject(name);
    const last = await this.#last(subject);
    if (last === null) return;
    const upload = manifestOf(last)?.upload;
    await this.#log.trim({ stream: this.#stream, subject, before: last.seq + 1 });
    if (upload !== undefined) await this.#purge(this.#chunksOf(upload));
  }

  async list(prefix: string): Promise<string[]> {
    const manifests = `${this.#prefix}m.`;
    const whole = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    const filter = manifests + (whole === '' ? '' : `${tokensOf(whole.slice(0, -1))}.`) + '>';
    const subjects = await subjectsOf(this.#link, { stream: this.#stream, filter });
    return subjects
      .map(subject => nameOf(subject.slice(manifests.length)))
      .filter(name => name.startsWith(prefix))
      .sort();
  }

  /**
   * Removes uploads that no manifest names, and names that are not wanted, both when their last message is older than
   * `olderThanMs` by the broker's clock; it must exceed the time that an upload may take. `wanted` is asked again after
   * each removal, and what has become wanted is put back: whoever writes a name, then makes it wanted, then writes it
   * again, does not lose it. Returns names, and subjects of uploads.
   */
  async sweep({
    olderThanMs,
    wanted = async () => () => true,
  }: {
    readonly olderThanMs: number;
    readonly wanted?: () => Promise<(name: string) => boolean>;
  }): Promise<string[]> {
    const { ts } = await askOrThrow<{ ts: string }>(this.#link, `STREAM.INFO.${this.#stream}`);
    const beforeMs = isoTimeMs(ts) - olderThanMs;
    const removed = await this.#sweepNames(beforeMs, wanted);
    const filters = { chunks: `${this.#prefix}c.*`, manifests: `${this.#prefix}m.>` };
    const uploads = await subjectsOf(this.#link, { stream: this.#stream, filter: filters.chunks });
    const named = new Set<string>();
    for (const subject of await subjectsOf(this.#link, { stream: this.#stream, filter: filters.manifests })) {
      const last = await this.#last(subject);
      const upload = last === null ? undefined : manifestOf(last)?.upload;
      if (upload !== undefined) named.add(this.#chunksOf(upload));
    }
    for (const upload of uploads) {
      if (named.has(upload)) continue;
      const last = await this.#last(upload);
      if (last === null || last.timeMs > beforeMs) continue;
      await this.#purge(upload);
      removed.push(upload);
    }
    return removed;
  }

  async #sweepNames(beforeMs: number, wanted: () => Promise<(name: string) => boolean>): Promise<string[]> {
    const removed: string[] = [];
    let isWanted = await wanted();
    for (const name of await this.list('')) {
      if (isWanted(name)) continue;
      const last = await this.#last(this.#manifestSubject(name));
      if (last === null || last.timeMs > beforeMs) continue;
      // What cannot be read any more is of no use to whoever wants it back.
      const content = (await this.#find(name))?.content ?? null;
      await this.delete(name);
      isWanted = await wanted();
      if (isWanted(name) && content !== null) await this.put(name, content);
      else removed.push(name);
    }
    return removed;
  }

  /** What is kept under a name; null: nothing. A manifest that is laid over while its parts are read is read instead. */
  async #find(name: string): Promise<Found | null> {
    const subject = this.#manifestSubject(name);
    for (let last = await this.#last(subject); last !== null; ) {
      const found = await this.#read(last);
      if (found.content !== null) return found;
      const again = await this.#last(subject);
      if (again?.seq === last.seq) return found;
      last = again;
    }
    return null;
  }

  async #read(message: StoredMessage): Promise<Found> {
    const { seq } = message;
    const manifest = manifestOf(message);
    if (manifest === null) return { seq, upload: null, content: null, why: 'its manifest is not ours' };
    const { upload, bytes, sha256 } = manifest;
    const damaged = (why: string): Found => ({ seq, upload, content: null, why });
    const chunks: Uint8Array[] = [];
    for (let from = 0; from < manifest.chunks.length; from += CHUNKS_AT_ONCE) {
      const slice = manifest.chunks.slice(from, from + CHUNKS_AT_ONCE);
      for (const chunk of await Promise.all(slice.map(at => this.#log.get({ stream: this.#stream, seq: at })))) {
        if (chunk === null) return damaged('a part of it is gone');
        chunks.push(chunk.data);
      }
    }
    const content = Buffer.concat(chunks);
    if (content.length !== bytes) return damaged(`${content.length} bytes of ${bytes}`);
    if (digestOf(content) !== sha256) return damaged('its checksum is wrong');
    return { seq, upload, content };
  }

  async #upload(subject: string, content: Uint8Array): Promise<number[]> {
    const step = Math.min(this.#chunkBytesMax, roomIn(this.#log.messageBytesMaxOf(this.#stream), HEAD_ROOM_BYTES));
    const sequences: number[] = [];
    for (let at = 0; at < content.length; at += step * CHUNKS_AT_ONCE) {
      const landing: Promise<number>[] = [];
      const end = Math.min(content.length, at + step * CHUNKS_AT_ONCE);
      for (let from = at; from < end; from += step)
        landing.push(this.#land(subject, content.subarray(from, from + step)));
      sequences.push(...(await Promise.all(landing)));
    }
    return sequences;
  }

  async #land(subject: string, data: Uint8Array): Promise<number> {
    const outcome = await land(this.#log, { stream: this.#stream, subject, data });
    invariant(outcome.kind === 'landed', 'a chunk has no fence');
    return outcome.seq;
  }

  #last(subject: string): Promise<StoredMessage | null> {
    return this.#log.last({ stream: this.#stream, subject });
  }

  async #purge(subject: string): Promise<void> {
    await askOrThrow(this.#link, `STREAM.PURGE.${this.#stream}`, { filter: subject });
  }

  #chunksOf(upload: string): string {
    return `${this.#prefix}c.${upload}`;
  }

  #manifestSubject(name: string): string {
    if (name === '') throw new MillraceError('INVALID_ARGUMENT', 'a blob needs a name');
    return `${this.#prefix}m.${tokensOf(name)}`;
  }
}

/** A name as subject tokens: what a subject cannot hold is `=` and two hex digits a byte, an empty part is `=`. */
function tokensOf(name: string): string {
  return name.split('/').map(tokenOf).join('.');
}

function tokenOf(part: string): string {
  if (part === '') return '=';
  let token = '';
  for (const byte of Buffer.from(part)) {
    const char = String.fromCharCode(byte);
    token += /[\w-]/.test(char) ? char : `=${byte.toString(16).padStart(2, '0')}`;
  }
  return token;
}

function nameOf(tokens: string): string {
  return tokens
    .split('.')
    .map(token => {
      if (token === '=') return '';
      return decodeURIComponent(token.replaceAll('=', '%'));
    })
    .join('/');
}

/** Null: it is not ours, or damaged. */
function manifestOf(message: StoredMessage): Manifest | null {
  let manifest: Partial<Manifest> | null;
  try {
    manifest = JSON.parse(textOf(message.data));
  } catch {
    return null;
  }
  const { upload, bytes, sha256, chunks } = manifest ?? {};
  if (upload === undefined || bytes === undefined || sha256 === undefined || !Array.isArray(chunks)) return null;
  return { upload, bytes, sha256, chunks };
}

function digestOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('base64');
}
