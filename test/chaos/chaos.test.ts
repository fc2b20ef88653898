/** The chaos program in small: a round of quick faults, and its flags. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Random } from '../../lib/base/random.ts';
import { pause } from '../bench/scene.ts';
import { Closing } from '../rig/closing.ts';
import { type Case, draw, readCases } from './cases.ts';
import { playRound } from './round.ts';
import { type Post, Stage } from './stage.ts';

const PROGRAM = fileURLToPath(new URL('chaos.ts', import.meta.url));
const closing = new Closing();
const folder = mkdtempSync(join(tmpdir(), 'millrace-chaos-test-'));
after(async () => {
  await closing.run();
  rmSync(folder, { recursive: true, force: true });
});

function chaos(...flags: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise(resolve => {
    execFile(process.execPath, ['--import', 'tsx', PROGRAM, ...flags], (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

/** Several of those that there are, one after the other. */
function together(cases: readonly Case[], names: readonly string[]): Case {
  return {
    name: 'together',
    about: names.join(', '),
    async play(stage, random) {
      for (const name of names) {
        await cases.find(one => one.name === name)!.play(stage, random);
        await pause(200);
      }
    },
  };
}

test('workers that are killed, deaf, stopped and deployed to, and a broker that is killed, give every row once', async () => {
  const cases = await readCases();
  const only = together(cases, ['deaf', 'deploy', 'kill-broker', 'kill-both', 'stop']);
  const result = await playRound({ seed: 7, cases, only, folder, closing });
  assert.deepEqual(result.wrong, []);
  assert.ok(result.events > 1_000, `${result.events} events prove little`);
  assert.ok(result.rows > 2_000, `${result.rows} rows prove little`);
  assert.ok(result.silenceMs > 0);
  assert.equal(result.kept, null);
});

test('a worker that two start at once, and that dies meanwhile, is one process, and none is left behind', async () => {
  const stage = await Stage.set({ folder: join(folder, 'dying'), random: new Random(1), closing, ordersPerSecond: 1 });
  const [post] = stage.posts as [Post];
  const { worker } = post;
  await stage.kill(post);
  const starting = Promise.all([stage.start(post), stage.start(post)]);
  await pause(100);
  process.kill(worker.pid, 'SIGKILL');
  await starting;
  await stage.close();
  const [host, port] = worker.address.split(':') as [string, string];
  const other = createServer().listen(Number(port), host);
  await once(other, 'listening');
  other.close();
});

test('rounds that are played at the same time are told as they end, each by its seed', async () => {
  const { code, out, err } = await chaos('--rounds', '2', '--at-once', '2', '--seed', '41', '--case', 'doze');
  assert.equal(code, 0, out + err);
  const lines = out.trimEnd().split('\n');
  const round =
    /^round (\d) {2}seed (\d+) {2}right {2}\d+ events {2}\d+ rows {2}silence \d+\.\d s {2}\d+\.\d s {2}doze$/;
  assert.deepEqual(
    lines
      .slice(0, -2)
      .map(line => round.exec(line)?.slice(1).join())
      .sort(),
    ['1,41', '2,42'],
  );
  assert.match(lines.at(-2)!, /^silence \d+\.\d s at the median$/);
  assert.match(lines.at(-1)!, /^rounds 2, wrong 0, worst silence \d+\.\d s$/);
});

test('what is drawn depends on the random numbers alone, and only cases with a weight are', async () => {
  const cases = await readCases();
  const drawn = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 1_000 }, () => draw(cases, random).name);
  };
  assert.deepEqual(drawn(5), drawn(5));
  const weighted = cases.filter(({ weight = 0 }) => weight > 0).map(({ name }) => name);
  assert.deepEqual([...new Set(drawn(6))].sort(), weighted.sort());
});

test('it lists its cases, explains itself, and refuses what it does not know', async () => {
  const [list, help, unknown, wrong, alone] = await Promise.all([
    chaos('--list'),
    chaos('--help'),
    chaos('--case', 'nowhere'),
    chaos('--rounds', 'many'),
    chaos('--workers', '1'),
  ]);
  for (const { name, about } of await readCases()) assert.ok(list.out.includes(name) && list.out.includes(about), name);
  assert.match(help.out, /npm run chaos -- --rounds 100 --seed 1/);
  assert.deepEqual([list.code, help.code, unknown.code, wrong.code, alone.code], [0, 0, 2, 2, 2]);
  assert.match(unknown.err, /--case nowhere: there is none; see --list/);
});
