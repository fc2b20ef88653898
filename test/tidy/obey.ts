/**
 * Does what READMEs say: every command of every `sh` block is run by a newcomer in a fresh copy of the tree. A command
 * that is not run as it stands is listed here, with the reason.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { Newcomer } from './newcomer.ts';
import { commandBlocksOf, root, textOf } from './texts.ts';

/** Run instead of what is written, and why. */
export const INSTEAD: Readonly<Record<string, { readonly run: string; readonly why: string }>> = {
  'npm test': { run: 'npm test -- base/duration', why: 'all tests include this one' },
  'npm run demo': { run: 'npm run demo -- --flights 500 --rate 2000', why: 'it takes a minute' },
  'npm run demo -- --flights 5000': { run: 'npm run demo -- --flights 300 --rate 2000', why: 'it takes a while' },
  'npm run demo -- --flights 5000 --crash': {
    run: 'npm run demo -- --flights 300 --crash --help',
    why: 'the tests of the demo run it',
  },
  'npm run chaos -- --rounds 100 --seed 1 --at-once 3': {
    run: 'npm run chaos -- --help',
    why: 'it takes half an hour',
  },
  'npm run chaos -- --rounds 10 --seed 1': {
    run: 'npm run chaos -- --help',
    why: 'it takes minutes, and CI runs it as it stands',
  },
  'npm run chaos -- --workers 3 --rounds 10 --seed 1': {
    run: 'npm run chaos -- --help',
    why: 'it takes minutes',
  },
  'npm run bench -- --shape framed --out framed.json': {
    run: 'npm run bench -- --query q0 --shape framed --events 20000 --live-seconds 0 --out framed.json',
    why: 'it takes minutes',
  },
  'npm run bench -- --shape single --events 1000000 --out single.json': {
    run: 'npm run bench -- --query q0 --shape single --events 20000 --live-seconds 0 --out single.json',
    why: 'it takes minutes',
  },
  'npm run bench -- --shape safe --events 1000000 --out safe.json': {
    run: 'npm run bench -- --query q0 --shape safe --events 20000 --live-seconds 0 --out safe.json',
    why: 'it takes minutes',
  },
  'npm run bench -- --query q5,q11 --shape framed --events 200000': {
    run: 'npm run bench -- --query q5,q11 --shape framed --events 20000',
    why: 'it takes a while',
  },
  'SIM_SEED=5000 SIM_HISTORIES=1000 npm test -- sim/': {
    run: 'SIM_SEED=5000 SIM_HISTORIES=40 npm test -- sim/sim',
    why: 'it takes a while',
  },
};

/** Commands that stay, and what they say when they are ready. */
const STAYING: readonly (readonly [command: RegExp, ready: RegExp])[] = [
  [/^npx millrace dev |^npm run dev$/, /\w {2}running {2}revision/],
  [/^npx millrace worker/, /api\.listening/],
];

const READS_MAX = 40;

interface Package {
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** Instead of `npm ci`, which asks the network for what is installed already: would it do what it should? */
function checkInstall(): void {
  const wanted = JSON.parse(textOf('package.json')) as Package;
  const { packages } = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, Package> };
  assert.deepEqual(packages['']?.dependencies, wanted.dependencies, 'package-lock.json is behind package.json');
  assert.deepEqual(packages['']?.devDependencies, wanted.devDependencies, 'package-lock.json is behind package.json');
  for (const name of Object.keys({ ...wanted.dependencies, ...wanted.devDependencies })) {
    const path = `node_modules/${name}`;
    const installed = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8')) as Package;
    assert.equal(installed.version, packages[path]?.version, `${name} is not installed as package-lock.json says`);
  }
}

async function obey(newcomer: Newcomer, command: string): Promise<void> {
  if (command === 'npm ci') return checkInstall();
  if (command.startsWith('cd ')) return newcomer.go(command.slice(3));
  if (/^nats-server /.test(command)) return newcomer.startBroker();
  const staying = STAYING.find(([pattern]) => pattern.test(command));
  if (staying !== undefined) {
    await newcomer.start(command, staying[1]);
    return;
  }
  const instead = newcomer.isHome ? INSTEAD[command] : undefined;
  let said = await newcomer.run(instead?.run ?? command);
  // Results take a moment; people do too.
  const reads = /\/read\.ts /.test(command);
  for (let tries = 0; reads && said.code === 0 && said.text === '' && tries < READS_MAX; tries++) {
    said = await newcomer.run(command);
  }
  assert.equal(said.code, 0, `${command}\n${said.text}`);
  if (reads) assert.notEqual(said.text, '', `${command} found nothing`);
}

/** A test for each section that has commands, or each that `takes` takes: one newcomer for all. */
export function testCommandsOf(file: string, takes: (heading: string) => boolean = () => true): void {
  const blocks = commandBlocksOf(file).filter(block => takes(block.heading));
  if (blocks.length === 0) return;
  describe(`every command of ${file} works for a newcomer`, () => {
    let newcomer: Newcomer;
    before(async () => {
      newcomer = await Newcomer.arrive();
    });
    afterEach(() => newcomer.stopAll());
    after(() => newcomer.leave());
    for (const heading of new Set(blocks.map(block => block.heading))) {
      test(`under “${heading}”`, async () => {
        for (const { commands } of blocks.filter(block => block.heading === heading)) {
          newcomer.go();
          for (const command of commands) await obey(newcomer, command);
        }
      });
    }
  });
}
