/**
 * Three ways to fetch a nats-server into a cache folder. Each works in a folder of its own beside the others, checks
 * what it got by running it, and moves the one file into its place with a rename: a program in the cache is whole, and
 * two processes that fetch at once put the same file there twice.
 *
 * Nothing is run that is not what it should be: the release and the source by the sums of `server-pins.ts`, Debian's package
 * by the signature that apt checks.
 *
 * All are bounded in time. An unreachable network must be noticed in seconds: whoever waits has other ways to try.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import { MillraceError, messageOf } from '../base/errors.ts';
import { debianMirror } from './debian-mirror.ts';
import type { ServerPins } from './server-pins.ts';

const officialUrl = 'https://github.com/nats-io/nats-server/releases/download';
const greetMs = 4_000;
const downloadMs = 120_000;
const aptMs = 120_000;
const buildMs = 600_000;
const outputBytesMax = 4 << 20;

export interface FetchOrder {
  readonly cacheDir: string;
  /** What is wanted, e.g. `2.15.0`; Debian has what it has. */
  readonly version: string;
  readonly pins: ServerPins;
  /** The version of a program; throws when it is of no use. */
  readonly check: (binary: string) => Promise<string>;
}

/** The release archive for this machine, if it is the one that is pinned. Resolves to the program's path. */
export function fetchRelease(order: FetchOrder, baseUrl: string = officialUrl): Promise<string> {
  return inWorkshop(order, async workshop => {
    const platformName = releasePlatform();
    const expected = order.pins.archives[platformName];
    if (expected === undefined) throw failed(`no archive for ${platformName} is known`);
    const name = `nats-server-v${order.version}-${platformName}`;
    const archive = `${name}.tar.gz`;
    const bytes = await download(`${baseUrl}/v${order.version}/${archive}`);
    const actual = createHash('sha256').update(bytes).digest('hex');
    if (actual !== expected) throw failed(`${archive} has the checksum ${actual}, and must have ${expected}`);
    await writeFile(join(workshop, archive), bytes);
    await run('tar', ['-xzf', archive], { timeoutMs: 60_000, cwd: workshop });
    return join(workshop, name, 'nats-server');
  });
}

/**
 * The package of Debian's testing suite, fetched with a sources list and lists folder of our own, derived from the
 * machine's mirror: nothing of the machine's apt is changed and nothing is installed.
 */
export function fetchDebian(order: FetchOrder): Promise<string> {
  return inWorkshop(order, async workshop => {
    const mirror = await debianMirror();
    const lists = join(workshop, 'lists');
    await mkdir(join(lists, 'partial'), { recursive: true });
    await mkdir(join(workshop, 'cache', 'archives', 'partial'), { recursive: true });
    await writeFile(join(workshop, 'sources.list'), `deb ${mirror.options}${mirror.uri} testing main\n`);
    // apt fetches as a user of its own, who could not write here.
    const settings = [
      `Dir::Etc::SourceList=${join(workshop, 'sources.list')}`,
      'Dir::Etc::SourceParts=/dev/null',
      `Dir::State::Lists=${lists}`,
      `Dir::Cache=${join(workshop, 'cache')}`,
      'APT::Sandbox::User=',
      'Acquire::Languages=none',
      'Acquire::Retries=1',
      'Acquire::http::Timeout=10',
      'Debug::NoLocking=1',
    ].flatMap(setting => ['-o', setting]);
    await run('apt-get', [...settings, '-qq', 'update'], { timeoutMs: aptMs, cwd: workshop });
    await run('apt-get', [...settings, '-qq', 'download', 'nats-server'], { timeoutMs: aptMs, cwd: workshop });
    const found = (await readdir(workshop)).find(name => name.endsWith('.deb'));
    if (found === undefined) throw failed('apt-get download left no package');
    await run('dpkg-deb', ['-x', found, 'unpacked'], { timeoutMs: 60_000, cwd: workshop });
    for (const folder of ['usr/bin', 'usr/sbin']) {
      const binary = join(workshop, 'unpacked', folder, 'nats-server');
      if (await exists(binary)) return binary;
    }
    throw failed(`${found} holds no nats-server`);
  });
}

/** A build from source: needs Go and whatever it takes its modules from. */
export function buildWithGo(order: FetchOrder): Promise<string> {
  return inWorkshop(order, async workshop => {
    const module = `github.com/nats-io/nats-server/v2@v${order.version}`;
    const told = await run('go', ['mod', 'download', '-json', module], { timeoutMs: downloadMs, cwd: workshop });
    const { Sum: actual } = JSON.parse(told) as { Sum?: string };
    const expected = order.pins.module;
    if (actual !== expected) throw failed(`${module} has the checksum ${actual}, and must have ${expected}`);
    // Two packages at a time: the machine has other things to do.
    const args = [`GOBIN=${workshop}`, 'go', 'install', '-p', '2', module];
    await run('env', args, { timeoutMs: buildMs, cwd: workshop });
    return join(workshop, 'nats-server');
  });
}

/** `make` leaves a program in a folder that is removed afterwards; what it made moves into the cache. */
async function inWorkshop(order: FetchOrder, make: (workshop: string) => Promise<string>): Promise<string> {
  const workshop = await mkdtemp(join(order.cacheDir, '.fetch-'));
  try {
    const made = await make(workshop);
    await chmod(made, 0o755);
    const version = await order.check(made);
    const place = join(order.cacheDir, `nats-server-${version}`);
    await rename(made, place);
    return place;
  } catch (error) {
    throw error instanceof MillraceError ? error : failed(messageOf(error), error);
  } finally {
    // Go makes its module folders read-only, but those lie elsewhere.
    await rm(workshop, { recursive: true, force: true });
  }
}

async function download(url: string): Promise<Buffer> {
  const greeting = new AbortController();
  const timer = setTimeout(() => greeting.abort(new Error(`no answer within ${greetMs / 1_000} s`)), greetMs);
  try {
    const signal = AbortSignal.any([greeting.signal, AbortSignal.timeout(downloadMs)]);
    const response = await fetch(url, { signal });
    clearTimeout(timer);
    if (!response.ok) throw new Error(`the answer was ${response.status} ${response.statusText}`);
    return Buffer.from(await response.arrayBuffer());
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
    throw failed(`${url}: ${messageOf(error)}${cause}`, error);
  } finally {
    clearTimeout(timer);
  }
}

/** As the release archives are called. */
function releasePlatform(): string {
  const machines: Readonly<Record<string, string>> = { x64: 'amd64', arm: 'arm7' };
  return `${platform()}-${machines[arch()] ?? arch()}`;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function failed(message: string, cause?: unknown): MillraceError {
  return new MillraceError('SERVER_NOT_FOUND', message, { cause });
}

export interface RunOptions {
  readonly timeoutMs: number;
  readonly cwd?: string;
}

/** Runs another program to its end. Resolves to what it wrote to its standard output. Rejects with what it wrote last to its standard error. */
export function run(program: string, args: readonly string[], { timeoutMs, cwd }: RunOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, maxBuffer: outputBytesMax, killSignal: 'SIGKILL', cwd } as const;
    execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error === null) {
        resolve(stdout);
        return;
      }
      const said = stderr.trim().split('\n').slice(-3).join(' | ');
      const how = error.killed ? `${program} took longer than ${timeoutMs / 1_000} s` : `${program}: ${error.code}`;
      reject(new Error(said === '' ? how : `${how}: ${said}`, { cause: error }));
    });
  });
}
