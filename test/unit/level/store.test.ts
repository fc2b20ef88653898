/** What LevelDB adds to the store contract: damage that it would not notice itself, locks, and crashes of a process. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { LevelStores } from '../../../lib/level/stores.ts';
import type { Store } from '../../../lib/port/store.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const all = { gte: new Uint8Array(0), lt: new Uint8Array(20).fill(255) };

let root: string;
let stores: LevelStores;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'millrace-level-'));
  stores = new LevelStores({ root });
});
afterEach(() => rm(root, { recursive: true }));

async function fill(store: Store, count: number): Promise<void> {
  for (let from = 0; from < count; from += 500) {
    const slice = Array.from({ length: Math.min(500, count - from) }, (_, i) => from + i);
    await store.write(
      slice.map(i => ({ type: 'put', key: bytes(`key-${i}`), value: bytes(`value of ${i}`) }) as const),
    );
  }
}

async function readAll(store: Store): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const slice of store.range(all)) {
    for (const [key, value] of slice) found.set(Buffer.from(key).toString(), Buffer.from(value).toString());
  }
  return found;
}

/** The one incarnation folder of location `s`. */
async function incarnation(): Promise<string> {
  const names = (await readdir(join(root, 's'))).filter(name => name.endsWith('.db'));
  assert.equal(names.length, 1);
  return join(root, 's', names[0]!);
}

async function flip(path: string, at: number): Promise<void> {
  const content = await readFile(path);
  content[at] = content[at]! ^ 0x10;
  await writeFile(path, content);
}

const open = (fresh = false) => stores.open('s', { fresh });

describe('a damaged store', () => {
  test('with a bit flipped anywhere in a table never answers wrongly without an error', async () => {
    stores = new LevelStores({ root, writeBufferBytes: 1 << 16 });
    const store = (await open(true))!;
    await fill(store, 3_000);
    await store.close();
    // What a table was not ready for at closing is still in the log; opening brings it into one.
    await (await open())!.close();
    const pristine = await mkdtemp(join(tmpdir(), 'millrace-level-'));
    await cp(root, pristine, { recursive: true });
    let detected = 0;
    for (let round = 0; round < 24; round++) {
      await cp(pristine, root, { recursive: true, force: true });
      const folder = await incarnation();
      // In every table: which of them a compaction has left behind is LevelDB's affair.
      const tables = (await readdir(folder)).filter(name => name.endsWith('.ldb'));
      assert.ok(tables.length > 0, 'the buffer was small enough to make a table');
      for (const table of tables) {
        const size = (await readFile(join(folder, table))).length;
        await flip(join(folder, table), Math.floor((size * (round + 0.5)) / 24));
      }
      const damaged = await open();
      if (damaged === null) {
        detected++;
        continue;
      }
      try {
        for (const [key, value] of await readAll(damaged)) {
          assert.equal(value, `value of ${key.slice(4)}`, 'a wrong value must not come out as a right one');
        }
      } catch (error) {
        assert.ok(isMillraceError(error), String(error));
        assert.ok(['STORE_CORRUPT', 'STORE_UNAVAILABLE'].includes(error.code), String(error));
        detected++;
        await damaged.close();
        assert.equal(await open(), null, 'a store that failed a check is never trusted again');
        continue;
      }
      await damaged.close();
    }
    assert.ok(detected > 12, `most flips hit something that is read: ${detected} of 24`);
    await rm(pristine, { recursive: true });
  });

  test('with a bit flipped in a value fails its checksum on getMany and on range, and is discarded', async () => {
    for (const read of [(s: Store) => s.getMany([bytes('key')]), (s: Store) => readAll(s)]) {
      const store = (await open(true))!;
      // The log holds values as they are: short enough not to be compressed, easy to find.
      await store.write([{ type: 'put', key: bytes('key'), value: bytes('the value') }]);
      await store.close();
      // Opening rewrites the log into a table without looking at what LevelDB's own record checksum would say.
      await (await open())!.close();
      const folder = await incarnation();
      let flipped = 0;
      for (const name of await readdir(folder)) {
        const at = (await readFile(join(folder, name))).indexOf('the value');
        if (at >= 0 && name.endsWith('.ldb')) {
          await flip(join(folder, name), at + 4);
          flipped++;
        }
      }
      assert.equal(flipped, 1);
      const damaged = (await open())!;
      await assert.rejects(read(damaged), error => isMillraceError(error, 'STORE_CORRUPT'));
      await assert.rejects(
        async () => damaged.write([]),
        error => isMillraceError(error, 'STORE_CORRUPT'),
      );
      await damaged.close();
      assert.equal(await open(), null);
    }
  });

  test('without CURRENT, or without its manifest, is as good as none', async () => {
    for (const victim of [/^CURRENT$/, /^MANIFEST/]) {
      const store = (await open(true))!;
      await fill(store, 10);
      await store.close();
      const folder = await incarnation();
      for (const name of await readdir(folder)) if (victim.test(name)) await rm(join(folder, name));
      assert.equal(await open(), null);
    }
  });

  test('with a note that is damaged is as good as none', async () => {
    for (const note of ['', '{', 'null', '[]', '{"clean":true}', '{"incarnation":"gone","clean":true}']) {
      await (await open(true))!.close();
      await writeFile(join(root, 's', 'meta.json'), note);
      assert.equal(await open(), null, note);
    }
  });

  test('with a flipped bit in the log of a store that was not closed may lose entries, never change them', async () => {
    const store = (await open(true))!;
    await fill(store, 200);
    const copy = await mkdtemp(join(tmpdir(), 'millrace-level-'));
    await cp(root, copy, { recursive: true });
    const folder = join(copy, 's', (await readdir(join(copy, 's'))).find(name => name.endsWith('.db'))!);
    const log = (await readdir(folder)).find(name => name.endsWith('.log'))!;
    await flip(join(folder, log), 3_000);
    const damaged = await new LevelStores({ root: copy }).open('s', { fresh: false });
    if (damaged !== null) {
      for (const [key, value] of await readAll(damaged)) assert.equal(value, `value of ${key.slice(4)}`);
      await damaged.close();
    }
    await store.close();
    await rm(copy, { recursive: true });
  });
});

describe('the data folder', () => {
  test('keeps one incarnation, and a fresh one removes the others', async () => {
    await (await open(true))!.close();
    const first = await incarnation();
    await (await open(true))!.close();
    assert.notEqual(await incarnation(), first);
  });

  test('is one folder under two names', async () => {
    await mkdir(join(root, 'real'));
    await symlink(join(root, 'real'), join(root, 'alias'));
    const store = await new LevelStores({ root: join(root, 'real') }).open('s', { fresh: true });
    const alias = new LevelStores({ root: join(root, 'alias') });
    await assert.rejects(alias.open('s', { fresh: false }), error => isMillraceError(error, 'STORE_IN_USE'));
    await store!.close();
    await (await alias.open('s', { fresh: false }))!.close();
  });

  test('that cannot be written gives STORE_UNAVAILABLE with the reason', async t => {
    await writeFile(join(root, 'file'), '');
    const below = new LevelStores({ root: join(root, 'file', 'data') });
    await assert.rejects(below.open('s', { fresh: true }), error => {
      assert.ok(isMillraceError(error, 'STORE_UNAVAILABLE'));
      assert.match(error.message, /ENOTDIR/);
      return true;
    });
    if (process.getuid?.() === 0) return t.diagnostic('root may write anywhere: permissions are not tried');
    await chmod(root, 0o500);
    await assert.rejects(open(true), error => isMillraceError(error, 'STORE_UNAVAILABLE'));
    await chmod(root, 0o700);
  });

  test('whose lock was damaged can still be locked', async () => {
    await (await open(true))!.close();
    for (const text of ['nonsense', 'MANIFEST-999999\n']) {
      await writeFile(join(root, 'lock.db', 'CURRENT'), text);
      const store = await open();
      assert.ok(store !== null);
      await store.close();
    }
  });

  test('is trusted without a boot id only after a clean close', async () => {
    stores = new LevelStores({ root, bootId: null });
    const store = (await open(true))!;
    await fill(store, 10);
    const copy = await mkdtemp(join(tmpdir(), 'millrace-level-'));
    await cp(root, copy, { recursive: true });
    assert.equal(await new LevelStores({ root: copy, bootId: null }).open('s', { fresh: false }), null);
    await store.close();
    const again = (await open())!;
    assert.equal((await readAll(again)).size, 10);
    await again.close();
    await rm(copy, { recursive: true });
  });
});

describe('two threads of a process that has locked the folder', () => {
  test('have stores in it, whichever has which, and one that is open in one is neither opened nor removed by the other', async () => {
    const [one, other] = [1, 2].map(() => new LevelStores({ root, isLocked: true })) as [LevelStores, LevelStores];
    const store = (await one.open('s', { fresh: true }))!;
    await fill(store, 200);
    const beside = (await other.open('t', { fresh: true }))!;
    const isElsewhere = (error: unknown) =>
      isMillraceError(error, 'STORE_UNAVAILABLE') && /still open in another thread/.test(error.message);
    await assert.rejects(other.open('s', { fresh: false }), isElsewhere);
    await assert.rejects(other.open('s', { fresh: true }), isElsewhere);
    await assert.rejects(other.discard('s'), isElsewhere);
    assert.equal((await readAll(store)).size, 200);
    await store.close();
    const handedOver = (await other.open('s', { fresh: false }))!;
    assert.equal((await readAll(handedOver)).size, 200);
    await handedOver.close();
    await beside.close();
    await one.discard('s');
    assert.deepEqual(await other.list(), ['t']);
  });
});

/** Another process that opens the store and writes pairs, a batch each, telling the number of each that returned. */
function writer(): ChildProcess {
  const module = fileURLToPath(new URL('../../../lib/level/stores.ts', import.meta.url));
  const script = `
    const { LevelStores } = await import(${JSON.stringify(module)});
    const store = await new LevelStores({ root: process.argv[1], writeBufferBytes: 1 << 16 }).open('s', { fresh: true });
    const text = new TextEncoder();
    for (let i = 0; ; i++) {
      const value = text.encode(String(i).padStart(200, '.'));
      await store.write([
        { type: 'put', key: text.encode('left-' + (i % 500)), value },
        { type: 'put', key: text.encode('right-' + (i % 500)), value },
        { type: 'put', key: text.encode('pointer'), value: text.encode(String(i)) },
      ]);
      if (i % 50 === 0) process.stdout.write(i + '\\n');
      if (i % 200 === 0) await new Promise(resolve => setTimeout(resolve, 1));
    }`;
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, root], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function untilWritten(child: ChildProcess, count: number): Promise<() => number> {
  let written = -1;
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the writer ended')));
    child.stdout!.on('data', data => {
      written = Number(String(data).trimEnd().split('\n').at(-1));
      if (written >= count) resolve();
    });
  });
  return () => written;
}

describe('another process', () => {
  test('holds the data folder for itself, whatever is asked for', async () => {
    const child = writer();
    await untilWritten(child, 0);
    const inUse = (error: unknown) => isMillraceError(error, 'STORE_IN_USE');
    await assert.rejects(open(), inUse);
    await assert.rejects(open(true), inUse);
    await assert.rejects(stores.open('another', { fresh: true }), inUse);
    await assert.rejects(stores.discard('s'), inUse);
    child.removeAllListeners('exit');
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    await (await open())!.close();
  });

  test('killed in the middle of its writes leaves every write that returned, and whole batches only', async () => {
    for (const count of [100, 1_500, 4_000]) {
      const child = writer();
      const written = await untilWritten(child, count);
      child.removeAllListeners('exit');
      const ended = new Promise(resolve => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
      const store = (await open())!;
      const found = await readAll(store);
      const pointer = Number(found.get('pointer'));
      assert.ok(pointer >= written(), `${pointer} is not before ${written()}`);
      for (let i = Math.max(0, pointer - 499); i <= pointer; i++) {
        assert.equal(Number(found.get(`left-${i % 500}`)?.replaceAll('.', '')), i);
        assert.equal(Number(found.get(`right-${i % 500}`)?.replaceAll('.', '')), i);
      }
      await store.close();
    }
  });
});
