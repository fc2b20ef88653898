/**
 * The first pipeline as its reader runs it: `millrace dev`, the publisher twice, the reader. The answer is computed
 * over the day's events as over a table.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type NatsServer, startServer } from '../../../lib/nats/server.ts';
import { day } from './day.ts';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const HOUR_MS = 3_600_000;

let folder = '';
let broker: NatsServer;
let dev: ChildProcess;
let said = '';

/** Waits for something that `dev` must say sooner or later. */
async function says(what: string, pattern: RegExp): Promise<void> {
  for (let tries = 0; tries < 1_200; tries++) {
    if (pattern.test(said)) return;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  assert.fail(`waited in vain until ${what}:\n${said}`);
}

async function run(script: string, ...args: readonly string[]): Promise<string> {
  const env = { ...process.env, NATS_URL: broker.url };
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', here(script), ...args], { env });
  return stdout;
}

/** Results of a subject, sorted. */
async function results(subject: string): Promise<string[]> {
  const lines = (await run('read.ts', subject)).split('\n');
  return lines.filter(line => line !== '').sort();
}

interface Event {
  readonly eventId: string;
  readonly employee: string;
  readonly name: string;
  readonly site: string;
  readonly badge: string;
  readonly at: string;
}

/** What the day's events come to, as text. The last employee is of the evening, whose two hours are not over. */
function answer() {
  const of = (subject: string) => {
    const events = day()
      .filter(message => message.subject === subject)
      .map(({ text }) => JSON.parse(text) as Event);
    return [...new Map(events.map(event => [event.eventId, event])).values()];
  };
  const badges = of('access.badge.issued');
  const hires = of('hr.employee.provisioned');
  const rows = hires.map(({ employee, name, site, at }) => {
    const startMs = Date.parse(at);
    const found = badges.find(({ employee: whose, at }) => {
      const badgeMs = Date.parse(at);
      return whose === employee && badgeMs >= startMs && badgeMs <= startMs + 2 * HOUR_MS;
    });
    const row = { employee, name, site, badge: found?.badge ?? null };
    return { row, atMs: found === undefined ? startMs : Math.max(startMs, Date.parse(found.at)) };
  });
  const windows = new Map<string, { site: string; start: number; end: number; hires: number }>();
  for (const { row, atMs } of rows.slice(0, -1)) {
    const start = Math.floor(atMs / HOUR_MS) * HOUR_MS;
    const window = windows.get(`${row.site} ${start}`) ?? { site: row.site, start, end: start + HOUR_MS, hires: 0 };
    windows.set(`${row.site} ${start}`, { ...window, hires: window.hires + 1 });
  }
  return {
    employees: rows.map(({ row }) => JSON.stringify(row)).sort(),
    unbadged: rows
      .filter(({ row }) => row.badge === null)
      .map(({ row }) => `onboarding.unbadged.${row.site}  ${JSON.stringify(row)}`)
      .sort(),
    hires: Array.from(windows.values(), row => `analytics.hires.${row.site}  ${JSON.stringify(row)}`).sort(),
  };
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-example-'));
  broker = await startServer();
  const launcher = here('../../../cmd/millrace.mjs');
  const flags = ['dev', here('onboarding.ts'), '--nats', broker.url, '--data', folder, '--listen', '127.0.0.1:0'];
  dev = spawn(process.execPath, [launcher, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
  dev.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
  await says('the pipeline runs', /onboarding {2}running/);
});
after(async () => {
  const gone = new Promise(resolve => dev.once('exit', resolve));
  if (dev.exitCode === null && dev.kill('SIGINT')) await gone;
  await broker.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('the first pipeline', () => {
  test('gives the rows of the batch answer, however often the events are published', async () => {
    const expected = answer();
    assert.ok(expected.unbadged.length > 3 && expected.hires.length > 10, 'the day has something of everything');
    for (const times of [1, 2]) {
      assert.equal(await run('publish.ts'), `published ${day().length} events\n`);
      const wanted = expected.employees.length + expected.unbadged.length + expected.hires.length;
      const [read, written] = [day().length * times, wanted].map(count => count.toLocaleString('en-US'));
      await says(
        `results are there after ${times} times`,
        new RegExp(`in \\S+ \\(${read}\\) {2}out 0/s \\(${written}\\)`),
      );
      const employees = (await results('onboarding.employees.*')).map(line => line.replace(/^\S+ {2}/, '')).sort();
      assert.deepEqual(employees, expected.employees);
      assert.deepEqual(await results('onboarding.unbadged.*'), expected.unbadged);
      assert.deepEqual(await results('analytics.hires.*'), expected.hires);
    }
    assert.match(said, /late 0 {2}dead 0/);
  });
});
