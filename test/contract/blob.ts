/** The contract of the blob port, run against every implementation. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isMillraceError } from '../../lib/base/errors.ts';
import { Random } from '../../lib/base/random.ts';
import type { Blobs } from '../../lib/port/blob.ts';

export interface BlobRig {
  /** An empty bucket. */
  fresh(): Promise<Blobs>;
  /** Damages the content of `name` in the bucket that `fresh` made last. */
  corrupt(name: string): Promise<void>;
  remove(): Promise<void>;
}

function noise(bytes: number): Uint8Array {
  const random = new Random(bytes);
  const content = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) content[i] = random.int(256);
  return content;
}

export function blobContract(name: string, makeRig: () => Promise<BlobRig>): void {
  describe(`the blob contract: ${name}`, () => {
    let rig: BlobRig;
    before(async () => {
      rig = await makeRig();
    });
    after(() => rig.remove());

    test('returns what was put, of any size, and null for what was not', async () => {
      const blobs = await rig.fresh();
      assert.equal(await blobs.get('a'), null);
      for (const bytes of [0, 1, 1_000, 524_287, 524_288, 524_289, 5_000_000]) {
        const content = noise(bytes);
        await blobs.put(`size/${bytes}`, content);
        const found = await blobs.get(`size/${bytes}`);
        assert.ok(found !== null && Buffer.compare(found, content) === 0, `${bytes} bytes`);
      }
    });

    test('leaves a name that exists as it is', async () => {
      const blobs = await rig.fresh();
      await blobs.put('a', noise(10));
      await blobs.put('a', noise(20));
      assert.deepEqual(new Uint8Array((await blobs.get('a'))!), noise(10));
    });

    test('keeps one whole content when several put the same name at once', async () => {
      const blobs = await rig.fresh();
      const contents = Array.from({ length: 8 }, (_, i) => noise(100_000 + i));
      const puts = contents.map(content => blobs.put('raced', content));
      await Promise.race(puts);
      const first = (await blobs.get('raced'))!;
      await Promise.all(puts);
      const found = (await blobs.get('raced'))!;
      assert.ok(contents.some(content => Buffer.compare(content, found) === 0));
      assert.equal(Buffer.compare(first, found), 0, 'what one put has settled, none changes');
    });

    test('keeps what a quick put has settled when a slow one, begun before, comes to its end', async () => {
      const blobs = await rig.fresh();
      const slow = blobs.put('raced', noise(3_000_000));
      await blobs.put('raced', noise(10));
      const settled = (await blobs.get('raced'))!;
      await slow;
      assert.equal((await blobs.get('raced'))!.length, settled.length);
    });

    test('forgets what was deleted, and lets the name be used again', async () => {
      const blobs = await rig.fresh();
      await blobs.put('a', noise(10));
      await blobs.put('a/b', noise(11));
      await blobs.delete('a');
      await blobs.delete('a');
      await blobs.delete('never');
      assert.equal(await blobs.get('a'), null);
      assert.deepEqual(await blobs.list(''), ['a/b']);
      await blobs.put('a', noise(20));
      assert.equal((await blobs.get('a'))!.length, 20);
    });

    test('lists names by prefix, sorted, whatever characters they have', async () => {
      const blobs = await rig.fresh();
      const names = ['p/s/0/a', 'p/s/0/b', 'p/s/00', 'p/s/1/a', 'P/s', 'q', 'ü/.. >*.', '..', 'x//y', 'a=b%c'].sort();
      for (const one of names) await blobs.put(one, noise(one.length));
      assert.deepEqual(await blobs.list(''), names);
      for (const prefix of ['p/s/0', 'p/s/0/', 'p/', 'p', 'P', 'nothing', 'nothing/', 'x//', 'ü/..', '.']) {
        assert.deepEqual(
          await blobs.list(prefix),
          names.filter(one => one.startsWith(prefix)),
          prefix,
        );
      }
      for (const one of names) assert.equal((await blobs.get(one))!.length, one.length, one);
    });

    test('throws JOURNAL_CORRUPT for what does not match its checksum', async () => {
      const blobs = await rig.fresh();
      await blobs.put(
        'whole',
        noise(1_000).map(byte => 255 - byte),
      );
      await blobs.put('damaged', noise(1_000));
      await rig.corrupt('damaged');
      await assert.rejects(blobs.get('damaged'), error => isMillraceError(error, 'JOURNAL_CORRUPT'));
      assert.equal((await blobs.get('whole'))!.length, 1_000);
      await blobs.delete('damaged');
      assert.equal(await blobs.get('damaged'), null);
    });

    test('writes anew what was damaged, and says so; readers meanwhile find it damaged or mended, never missing', async () => {
      const blobs = await rig.fresh();
      assert.equal(await blobs.put('before', noise(1_000)), true);
      assert.equal(await blobs.put('damaged', noise(900_000)), true);
      assert.equal(await blobs.put('damaged', noise(900_000)), false, 'it is whole');
      await rig.corrupt('damaged');
      let isMended = false;
      const looks: string[] = [];
      const looking = (async () => {
        while (!isMended) {
          const found = await blobs.get('damaged').then(
            content => (content === null ? 'missing' : 'whole'),
            error => (isMillraceError(error, 'JOURNAL_CORRUPT') ? 'damaged' : String(error)),
          );
          if (looks.at(-1) !== found) looks.push(found);
          await new Promise(resolve => setImmediate(resolve));
        }
      })();
      assert.equal(await blobs.put('damaged', noise(900_000)), true);
      isMended = true;
      await looking;
      assert.match(looks.join(' '), /^(damaged)? ?(whole)?$/);
      assert.equal(Buffer.compare((await blobs.get('damaged'))!, noise(900_000)), 0);
      assert.deepEqual(await blobs.list(''), ['before', 'damaged']);
      await blobs.delete('damaged');
      assert.equal(await blobs.get('damaged'), null);
    });

    test('shares no memory with its caller', async () => {
      const blobs = await rig.fresh();
      const content = Buffer.from('content');
      await blobs.put('a', content);
      content.fill(0);
      const found = (await blobs.get('a'))!;
      assert.equal(Buffer.from(found).toString(), 'content');
      found.fill(0);
      assert.equal(Buffer.from((await blobs.get('a'))!).toString(), 'content');
    });
  });
}
