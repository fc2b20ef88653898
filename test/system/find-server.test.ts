/**
 * Where the nats-server comes from: the order of the ways, what a candidate has to prove, and as much of
 * fetching as can be tried without a network: the release against a local HTTP server, the build with a go of our own, Debian
 * as far as reading its settings.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { isMillraceError } from '../../lib/base/errors.ts';
import { debianMirror, mirrorsOfLines, mirrorsOfParagraphs } from '../../lib/nats/debian-mirror.ts';
import { findServer } from '../../lib/nats/find-server.ts';
import { SERVER_PINS, SERVER_VERSION, type ServerPins } from '../../lib/nats/server-pins.ts';

let folder: string;
let cacheDir: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-find-'));
  cacheDir = join(folder, 'cache');
});
afterEach(() => rm(folder, { recursive: true }));

/** A program that says that it is a nats-server of this version. */
function programOf(version: string): string {
  return `#!/bin/sh\necho "nats-server: v${version}"\n`;
}

async function program(path: string, version: string): Promise<string> {
  await writeFile(path, programOf(version));
  await chmod(path, 0o755);
  return path;
}

function says(...patterns: readonly RegExp[]) {
  return (error: unknown): boolean => {
    assert.ok(isMillraceError(error, 'SERVER_NOT_FOUND'), String(error));
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  };
}

describe('looking for a server', () => {
  test('takes the named path first, and tells what was taken', async () => {
    const variable = await program(join(folder, 'mine'), '2.14.7');
    const lines: string[] = [];
    const found = await findServer({ cacheDir, variable, log: line => lines.push(line) });
    assert.deepEqual(found, { binary: variable, version: '2.14.7', way: 'variable' });
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /2\.14\.7 from NATS_SERVER/);
  });

  test('tries nothing else when the named path is of no use', async () => {
    const old = await program(join(folder, 'old'), '2.11.9');
    await assert.rejects(findServer({ cacheDir, variable: old }), says(/NATS_SERVER/, /2\.11\.9/, /older than 2\.12/));
    await assert.rejects(findServer({ cacheDir, variable: join(folder, 'none') }), says(/does not run/));
    const other = join(folder, 'other');
    await writeFile(other, '#!/bin/sh\necho hello\n', { mode: 0o755 });
    await assert.rejects(findServer({ cacheDir, variable: other }), says(/hello/));
  });

  test('finds the one on the PATH that these tests run with', async () => {
    const found = await findServer({ cacheDir, variable: '', ways: ['variable', 'path', 'cache'] });
    assert.equal(found.way, 'path');
    assert.match(found.version, /^2\.\d+\.\d+/);
  });

  test('takes the newest of the cache that runs', async () => {
    await mkdir(cacheDir);
    await program(join(cacheDir, 'nats-server-2.9.0'), '2.9.0');
    await program(join(cacheDir, 'nats-server-2.12.1'), '2.12.1');
    await program(join(cacheDir, 'nats-server-2.13.0'), '2.13.0');
    await writeFile(join(cacheDir, 'nats-server-2.99.0'), 'not whole', { mode: 0o755 });
    const found = await findServer({ cacheDir, ways: ['cache'] });
    assert.deepEqual(found, { binary: join(cacheDir, 'nats-server-2.13.0'), version: '2.13.0', way: 'cache' });
  });

  test('lists all that was tried, why it failed and what to do', async () => {
    const releaseUrl = 'http://127.0.0.1:1/none';
    await assert.rejects(
      findServer({ cacheDir, ways: ['cache', 'release'], releaseUrl }),
      says(/the cache folder: .* has none/, /the official release: .*127\.0\.0\.1:1/, /NATS_SERVER/),
    );
    await assert.rejects(findServer({ cacheDir, ways: [] }), says(/no way was allowed/));
  });
});

describe('the release archive', () => {
  let server: Server;
  let base = '';
  const files = new Map<string, Buffer | 'silence'>();
  before(async () => {
    server = createServer((request, response) => {
      const file = files.get(request.url ?? '');
      if (file === 'silence') return;
      if (file === undefined) response.writeHead(404);
      response.end(file);
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    base = `http://127.0.0.1:${address.port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => files.clear());

  const machine = process.arch === 'x64' ? 'amd64' : process.arch;
  const name = `nats-server-v${SERVER_VERSION}-${process.platform}-${machine}`;
  const at = `/v${SERVER_VERSION}`;
  let pins: ServerPins;

  async function publish(version: string): Promise<Buffer> {
    await mkdir(join(folder, name));
    await program(join(folder, name, 'nats-server'), version);
    execFileSync('tar', ['-czf', 'archive', name], { cwd: folder });
    const archive = await readFile(join(folder, 'archive'));
    files.set(`${at}/${name}.tar.gz`, archive);
    const sum = createHash('sha256').update(archive).digest('hex');
    pins = { ...SERVER_PINS, archives: { [`${process.platform}-${machine}`]: sum } };
    return archive;
  }

  const fetchIt = () => findServer({ cacheDir, ways: ['cache', 'release'], releaseUrl: base, pins });

  test('is unpacked into the cache, once, and found there the next time', async () => {
    await publish(SERVER_VERSION);
    const first = await fetchIt();
    const binary = join(cacheDir, `nats-server-${SERVER_VERSION}`);
    assert.deepEqual(first, { binary, version: SERVER_VERSION, way: 'release' });
    assert.deepEqual(await readdir(cacheDir), [`nats-server-${SERVER_VERSION}`]);
    files.clear();
    assert.equal((await fetchIt()).way, 'cache');
  });

  test('may be fetched by several at once', async () => {
    await publish(SERVER_VERSION);
    const found = await Promise.all(
      [0, 1, 2, 3].map(() => findServer({ cacheDir, ways: ['release'], releaseUrl: base, pins })),
    );
    assert.equal(new Set(found.map(one => one.binary)).size, 1);
    assert.deepEqual(await readdir(cacheDir), [`nats-server-${SERVER_VERSION}`]);
  });

  test('is refused when it is not the one that is pinned, whatever sums lie beside it, and leaves nothing behind', async () => {
    const archive = await publish(SERVER_VERSION);
    const damaged = Buffer.from(archive);
    damaged[damaged.length >> 1] = damaged[damaged.length >> 1]! ^ 1;
    files.set(`${at}/${name}.tar.gz`, damaged);
    const sum = createHash('sha256').update(damaged).digest('hex');
    files.set(`${at}/SHA256SUMS`, Buffer.from(`${sum}  ${name}.tar.gz\n`));
    await assert.rejects(fetchIt(), says(/checksum/));
    pins = { ...SERVER_PINS, archives: { 'plan9-amd64': sum } };
    await assert.rejects(fetchIt(), says(/no archive for .* is known/));
    pins = SERVER_PINS;
    files.set(`${at}/${name}.tar.gz`, archive);
    await assert.rejects(fetchIt(), says(/checksum/));
    files.delete(`${at}/${name}.tar.gz`);
    await assert.rejects(fetchIt(), says(/404/));
    assert.deepEqual(await readdir(cacheDir), []);
  });

  test('is refused when what it holds is not what we need', async () => {
    await publish('2.3.4');
    await assert.rejects(fetchIt(), says(/2\.3\.4/, /older/));
    assert.deepEqual(await readdir(cacheDir), []);
  });

  test('is not waited for when nobody answers', async () => {
    files.set(`${at}/${name}.tar.gz`, 'silence');
    await assert.rejects(fetchIt(), says(/no answer within 4 s/));
  });
});

describe('a build from source', () => {
  const path = process.env.PATH;
  afterEach(() => {
    process.env.PATH = path;
  });

  /** A go whose module has this sum. */
  async function goOf(sum: string): Promise<void> {
    const script = `#!/bin/sh
if [ "$1" = mod ]; then echo '{"Version":"v${SERVER_VERSION}","Sum":"${sum}"}'; exit; fi
printf '%s' '${programOf(SERVER_VERSION)}' > "$GOBIN/nats-server"
`;
    await writeFile(join(folder, 'go'), script, { mode: 0o755 });
    process.env.PATH = `${folder}:${path}`;
  }

  test('is taken from the source that is pinned, and from no other', async () => {
    await goOf('h1:another=');
    await assert.rejects(findServer({ cacheDir, ways: ['go'] }), says(/checksum h1:another=, and must have h1:M99/));
    assert.deepEqual(await readdir(cacheDir), []);
    await goOf(SERVER_PINS.module);
    const found = await findServer({ cacheDir, ways: ['go'] });
    assert.deepEqual(found, {
      binary: join(cacheDir, `nats-server-${SERVER_VERSION}`),
      version: SERVER_VERSION,
      way: 'go',
    });
  });
});

describe("the machine's Debian mirror", () => {
  test('is read from lines, with their options', () => {
    const text = [
      '# deb http://commented/debian stable main',
      'deb-src http://sources/debian stable main',
      'deb http://elsewhere/tools stable contrib',
      'deb [signed-by=/usr/share/keyrings/k.gpg arch=amd64] http://mirror/debian bookworm main contrib # mine',
      'deb http://mirror/debian-security bookworm-security main',
    ].join('\n');
    assert.deepEqual(mirrorsOfLines(text), [
      { uri: 'http://mirror/debian', options: '[signed-by=/usr/share/keyrings/k.gpg arch=amd64] ' },
      { uri: 'http://mirror/debian-security', options: '' },
    ]);
  });

  test('is read from paragraphs, without the disabled ones', () => {
    const text = `Types: deb
Enabled: no
URIs: http://disabled/debian
Suites: bookworm
Components: main

# A comment between fields:
Types: deb deb-src
URIs: http://mirror/debian
 http://second/debian
Suites: bookworm
 bookworm-updates
Components: main
# and another
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://inline/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
`;
    assert.deepEqual(mirrorsOfParagraphs(text), [
      { uri: 'http://mirror/debian', options: '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ' },
      { uri: 'http://inline/debian', options: '' },
    ]);
  });

  test('is Debian itself, whatever else the machine uses', async () => {
    await mkdir(join(folder, 'sources.list.d'));
    await assert.rejects(debianMirror(folder), says(/no mirror of Debian/));
    await writeFile(join(folder, 'sources.list'), 'deb http://tools/apt stable main\n');
    await writeFile(join(folder, 'sources.list.d', 'off.sources.disabled'), 'deb http://off/debian stable main\n');
    await assert.rejects(debianMirror(folder), says(/no mirror of Debian/));
    await writeFile(
      join(folder, 'sources.list.d', 'debian.sources'),
      'Types: deb\nURIs: http://mirror/debian-security\nComponents: main\n\nTypes: deb\nURIs: http://mirror/debian\nComponents: main\n',
    );
    assert.equal((await debianMirror(folder)).uri, 'http://mirror/debian');
  });
});

test('a way that leaves its workshop in the middle leaves nothing in the cache', async () => {
  await assert.rejects(findServer({ cacheDir, ways: ['release'], releaseUrl: 'http://127.0.0.1:1' }), says(/release/));
  assert.ok(existsSync(cacheDir));
  assert.deepEqual(await readdir(cacheDir), []);
});
