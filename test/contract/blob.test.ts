import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { systemClock } from '../../lib/base/clock.ts';
import { isMillraceError } from '../../lib/base/errors.ts';
import { FolderBlobs } from '../../lib/level/folder-blobs.ts';
import { MemoryBlobs } from '../../lib/memory/blobs.ts';
import { type NatsBlobs, openBlobs } from '../../lib/nats/blobs.ts';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { startServer } from '../../lib/nats/server.ts';
import { blobContract } from './blob.ts';

blobContract('memory', async () => {
  let blobs = new MemoryBlobs({ clock: systemClock });
  return {
    fresh: async () => (blobs = new MemoryBlobs({ clock: systemClock })),
    corrupt: async name => blobs.corrupt(name),
    remove: async () => undefined,
  };
});

blobContract('a folder', async () => {
  const base = await mkdtemp(join(tmpdir(), 'millrace-blobs-'));
  let round = 0;
  return {
    fresh: async () => new FolderBlobs({ root: join(base, String(++round)) }),
    corrupt: async name => {
      const path = join(base, String(round), `${name}.blob`);
      const content = await readFile(path);
      content[500] = content[500]! ^ 1;
      await writeFile(path, content);
    },
    remove: () => rm(base, { recursive: true }),
  };
});

blobContract('NATS', async () => {
  // A small max_payload makes small chunks.
  const server = await startServer({ config: { maxPayloadBytes: 200_000 } });
  const link = await connectNats({ servers: server.url });
  let round = 0;
  return {
    fresh: (): Promise<NatsBlobs> => openBlobs(link, { bucket: `b${++round}` }),
    corrupt: async name => {
      // A manifest that names somebody else's chunks.
      const log = new NatsLog(link);
      const stream = `MRB_b${round}`;
      const subject = `_mrb.b${round}.m.${name}`;
      const last = await log.last({ stream, subject });
      const manifest: { chunks: number[] } = JSON.parse(Buffer.from(last!.data).toString());
      const data = Buffer.from(JSON.stringify({ ...manifest, chunks: [manifest.chunks[0]! - 2] }));
      await log.append({ subject, data });
    },
    remove: async () => {
      await link.close();
      await server.stop();
    },
  };
});

describe('blobs in a folder', () => {
  test('do not show what is only half written, and refuse what is cut off', async () => {
    const root = await mkdtemp(join(tmpdir(), 'millrace-blobs-'));
    const blobs = new FolderBlobs({ root });
    await blobs.put('a', new Uint8Array(100));
    await writeFile(join(root, 'b.blob.0123.new'), 'half');
    assert.deepEqual(await blobs.list(''), ['a']);
    for (const bytes of [0, 20, 131]) {
      await writeFile(join(root, 'a.blob'), (await readFile(join(root, 'a.blob'))).subarray(0, bytes));
      await assert.rejects(blobs.get('a'), error => isMillraceError(error, 'JOURNAL_CORRUPT'));
    }
    await blobs.delete('a');
    await rm(join(root, 'b.blob.0123.new'));
    assert.deepEqual(await readdir(root), []);
    await rm(root, { recursive: true });
  });

  test('say what is wrong with the folder', async () => {
    const root = await mkdtemp(join(tmpdir(), 'millrace-blobs-'));
    await writeFile(join(root, 'file'), '');
    const blobs = new FolderBlobs({ root: join(root, 'file') });
    await assert.rejects(blobs.put('a', new Uint8Array(1)), error => isMillraceError(error, 'STORE_UNAVAILABLE'));
    await assert.rejects(blobs.put('x'.repeat(300), new Uint8Array(1)), e => isMillraceError(e, 'INVALID_ARGUMENT'));
    await rm(root, { recursive: true });
  });
});

describe('blobs on NATS', () => {
  test('survive the death of the broker in the middle of an upload', async () => {
    const server = await startServer();
    const link = await connectNats({ servers: server.url, answerMs: 500 });
    const blobs = await openBlobs(link, { bucket: 'b', chunkBytesMax: 4_096 });
    const content = new Uint8Array(4_000_000).map((_, i) => i * 31);
    let done = false;
    const put = blobs.put('big', content).then(() => {
      done = true;
    });
    await server.kill();
    assert.equal(done, false);
    await server.restart();
    await put;
    assert.equal(Buffer.compare((await blobs.get('big'))!, content), 0);
    await link.close();
    await server.stop();
  });

  test('are mended by the next put when the broker has lost a chunk, or damaged the manifest, and nothing is left over', async () => {
    const server = await startServer();
    const link = await connectNats({ servers: server.url });
    const blobs = await openBlobs(link, { bucket: 'b', chunkBytesMax: 1_000 });
    const log = new NatsLog(link);
    const content = new Uint8Array(9_500).map((_, i) => i * 31);
    await blobs.put('a', content);
    const loss: [what: string, lose: () => Promise<unknown>][] = [
      ['the first chunk', () => log.remove({ stream: 'MRB_b', seq: 1 })],
      [
        'a chunk in the middle',
        async () => log.remove({ stream: 'MRB_b', seq: (await log.info('MRB_b'))!.firstSeq + 4 }),
      ],
      ['the manifest', () => log.append({ subject: '_mrb.b.m.a', data: Buffer.from('{"upload":') })],
    ];
    for (const [what, lose] of loss) {
      await lose();
      await assert.rejects(blobs.get('a'), error => isMillraceError(error, 'JOURNAL_CORRUPT'), what);
      assert.equal(await blobs.put('a', content), true, what);
      assert.equal(Buffer.compare((await blobs.get('a'))!, content), 0, what);
      assert.equal(await blobs.put('a', content), false, what);
    }
    await blobs.sweep({ olderThanMs: -1_000 });
    assert.equal((await log.info('MRB_b'))!.messages, 11, 'ten chunks and their manifest');
    await link.close();
    await server.stop();
  });

  test('that cannot be read do not stop a sweep', async () => {
    const server = await startServer();
    const link = await connectNats({ servers: server.url });
    const blobs = await openBlobs(link, { bucket: 'b', chunkBytesMax: 1_000 });
    const log = new NatsLog(link);
    await blobs.put('damaged', new Uint8Array(5_000));
    await blobs.put('useless', new Uint8Array(5_000));
    await log.remove({ stream: 'MRB_b', seq: 2 });
    await log.append({ subject: '_mrb.b.m.wrong', data: Buffer.from('no manifest') });
    const removed = await blobs.sweep({ olderThanMs: -1_000, wanted: async () => name => name === 'kept' });
    assert.deepEqual(removed, ['damaged', 'useless', 'wrong']);
    assert.equal((await log.info('MRB_b'))!.messages, 0);
    await link.close();
    await server.stop();
  });

  test('sweep removes what no manifest names, and nothing else', async () => {
    const server = await startServer();
    const link = await connectNats({ servers: server.url });
    const blobs = await openBlobs(link, { bucket: 'b' });
    const log = new NatsLog(link);
    await blobs.put('kept', new Uint8Array(1_000));
    await log.append({ subject: '_mrb.b.c.orphan', data: new Uint8Array(10) });
    assert.deepEqual(await blobs.sweep({ olderThanMs: 3_600_000 }), [], 'it may be an upload under way');
    assert.deepEqual(await blobs.sweep({ olderThanMs: -1_000 }), ['_mrb.b.c.orphan']);
    assert.equal((await blobs.get('kept'))!.length, 1_000);
    assert.equal((await log.info('MRB_b'))!.messages, 2, 'one chunk and its manifest');
    await blobs.delete('kept');
    assert.equal((await log.info('MRB_b'))!.messages, 0);
    await link.close();
    await server.stop();
  });
});
