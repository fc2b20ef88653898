/**
 * Every example as its README says, on one broker and one worker: where a README says `dev`, which is a broker and a
 * worker of its own, the pipeline is deployed to these. What then can be read is what the test driver gives for the same
 * events.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Pipeline } from 'millrace';
import { testPipeline } from 'millrace/testing';
import { LAUNCHER } from '../rig/launcher.ts';
import { Newcomer } from '../tidy/newcomer.ts';
import { commandsOf, linksOf } from '../tidy/texts.ts';
import type { Events, Message } from './publish.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = join(HERE, '../..');
const examples = readdirSync(HERE).filter(name => /^\d\d-/.test(name));

const READS_MAX = 40;
/** Reads more than results, or what depends on more than its events. */
const OWN_WAY: Readonly<Record<string, string>> = {
  '04-enrichment': 'its table is filled by a script',
  '07-dead-letters': 'two pipelines have a part in it',
  '08-subscriber': 'it prints what it handles',
};

const load = async <T>(file: string) => (await import(pathToFileURL(join(ROOT, file)).href)) as { default: T };

/** What `npx` runs here, without its detour, which takes as long as the command itself. The front page's tests go by it. */
const direct = (command: string) =>
  command.replace(/^npx millrace /, `node ${LAUNCHER} `).replace(/^npx tsx /, 'node --import tsx ');

describe('each example', () => {
  let newcomer: Newcomer;
  before(async () => {
    newcomer = await Newcomer.arrive();
    await newcomer.startBroker();
    await newcomer.start(direct('npx millrace worker'), /api\.listening/);
  });
  after(() => newcomer.leave());

  /** Results take a moment. */
  async function readUntil(command: string, isThere: (text: string) => boolean): Promise<string> {
    for (let tries = 1; ; tries++) {
      const said = await newcomer.run(direct(command));
      if (said.code === 0 && isThere(said.text)) return said.text;
      assert.ok(tries < READS_MAX, `${command} does not show what it should:\n${said.text}`);
      await new Promise(resolve => setTimeout(resolve, 250));
    }
  }

  async function obey(command: string, wantedOf: (subject: string) => string[] | null): Promise<void> {
    if (/^(nats-server|npx millrace worker)\b/.test(command)) return;
    const subject = /\/read\.ts '(\S+)'$/.exec(command)?.[1];
    if (subject !== undefined || command.endsWith('/subscribe.ts')) {
      const wanted = subject === undefined ? null : wantedOf(subject);
      const linesOf = (text: string) => text.split('\n').filter(Boolean).sort();
      const isThere = (text: string) => linesOf(text).length >= Math.max(1, wanted?.length ?? 0);
      const lines = linesOf(await readUntil(command, isThere));
      if (wanted !== null) assert.deepEqual(lines, wanted);
      return;
    }
    const said = await newcomer.run(direct(command.replace(/^npx millrace dev /, 'npx millrace deploy ')));
    assert.equal(said.code, 0, `${command}\n${said.text}`);
  }

  for (const name of examples) {
    test(`does what its README says: ${name}`, async () => {
      const folder = `test/examples/${name}`;
      const commands = commandsOf(`${folder}/README.md`);
      const file = commands.map(command => /^npx millrace (?:dev|deploy) (\S+)$/.exec(command)?.[1]).find(Boolean);
      assert.ok(commands.length >= 3 && file !== undefined, `${folder}/README.md says how to run it`);
      const driver = testPipeline((await load<Pipeline>(file)).default);
      if (OWN_WAY[name] === undefined) {
        const { default: events, complete } = (await load<readonly Message[]>(`${folder}/events.ts`)) as Events;
        for (const { subject, data } of events) driver.push(subject, data);
        if (complete !== undefined) {
          const headers = { 'Millrace-Complete': complete };
          for (const subject of new Set(events.map(event => event.subject))) driver.push(subject, '', { headers });
        }
        // Timers that were set for what had passed fire when event time next moves.
        driver.advance('1m');
      }
      const wantedOf = (subject: string) => {
        const isResult = OWN_WAY[name] === undefined && !subject.startsWith('millrace.');
        return isResult
          ? driver
              .read(subject)
              .map(row => `${row.subject}  ${JSON.stringify(row.value)}`)
              .sort()
          : null;
      };
      for (const command of commands) await obey(command, wantedOf);
    });
  }

  test('is in the index, and has a pipeline, events, a README and a test', () => {
    assert.ok(examples.length >= 9);
    const index = linksOf('test/examples/README.md').map(({ path }) => path);
    for (const name of examples) {
      assert.ok(index.includes(`test/examples/${name}/README.md`), `${name} is not in the index`);
      const files = readdirSync(join(HERE, name));
      for (const wanted of ['README.md', 'events.ts'])
        assert.ok(files.includes(wanted), `${name}/${wanted} is missing`);
      assert.ok(
        files.some(file => file.endsWith('.test.ts')),
        `${name} has no test`,
      );
    }
  });
});
