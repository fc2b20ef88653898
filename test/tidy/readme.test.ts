/**
 * What the READMEs say is true: every command of every `sh` block is run by a newcomer in a fresh copy of the tree,
 * every `ts` block compiles against the types, every link leads somewhere. A command that is not run as it stands is
 * listed here, with the reason.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Newcomer } from './newcomer.ts';
import { anchorsOf, blocksOf, commandBlocksOf, commandsOf, linksOf, readmes, root, textOf } from './texts.ts';

/** Run instead of what is written, and why. */
const INSTEAD: Readonly<Record<string, { readonly run: string; readonly why: string }>> = {
  'npm test': { run: 'npm test -- base/duration', why: 'all tests include this one' },
  'npm run demo': { run: 'npm run demo -- --flights 500 --rate 2000', why: 'it takes a minute' },
  'npm run demo -- --flights 5000': { run: 'npm run demo -- --flights 300 --rate 2000', why: 'it takes a while' },
  'npm run demo -- --flights 5000 --crash': {
    run: 'npm run demo -- --flights 300 --crash --help',
    why: 'the tests of the demo run it',
  },
  'npm run chaos -- --rounds 10 --seed 1': {
    run: 'npm run chaos -- --help',
    why: 'it takes minutes, and CI runs it as it stands',
  },
  'npm run chaos -- --rounds 100 --seed 1 --at-once 3': { run: 'npm run chaos -- --help', why: 'it takes an hour' },
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
  'SIM_SEED=5000 SIM_HISTORIES=200 npm test -- sim/': {
    run: 'SIM_SEED=5000 SIM_HISTORIES=60 npm test -- sim/',
    why: 'it takes a while',
  },
};

/** Commands that stay, and what they say when they are ready. */
const STAYING: readonly (readonly [command: RegExp, ready: RegExp])[] = [
  [/^npx millrace dev |^npm run dev$/, /\w {2}running {2}revision/],
  [/^npx millrace worker/, /api\.listening/],
];

const READS_MAX = 40;
const used = new Set<string>();
const files = readmes();

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
  if (instead !== undefined) used.add(command);
  let said = await newcomer.run(instead?.run ?? command);
  // Results take a moment; people do too.
  const reads = /\/read\.ts /.test(command);
  for (let tries = 0; reads && said.code === 0 && said.text === '' && tries < READS_MAX; tries++) {
    said = await newcomer.run(command);
  }
  assert.equal(said.code, 0, `${command}\n${said.text}`);
  if (reads) assert.notEqual(said.text, '', `${command} found nothing`);
}

describe('every command works for a newcomer', () => {
  for (const file of files) {
    const commands = commandsOf(file);
    // What examples say is run by test/examples/examples.test.ts: on one worker for all of them.
    if (commands.length === 0 || /^test\/examples\/\d/.test(file)) continue;
    test(`of ${file}`, async () => {
      const newcomer = await Newcomer.arrive();
      try {
        for (const block of commandBlocksOf(file)) {
          newcomer.go();
          for (const command of block) await obey(newcomer, command);
        }
      } finally {
        await newcomer.leave();
      }
    });
  }

  test('and there are some, as well as for each that is run otherwise', () => {
    assert.ok(files.length >= 6, `only ${files.length} READMEs found`);
    assert.ok(files.flatMap(commandsOf).length >= 20);
    assert.deepEqual([...used].sort(), Object.keys(INSTEAD).sort());
  });
});

describe('every TypeScript block', () => {
  let newcomer: Newcomer;
  const blocks = files.flatMap(file =>
    blocksOf(file)
      .filter(({ language }) => language === 'ts' || language === 'typescript')
      .map(block => ({ ...block, file })),
  );
  before(async () => {
    newcomer = await Newcomer.arrive();
  });
  after(() => newcomer.leave());

  test('compiles against the types', async () => {
    assert.ok(blocks.length >= 2, `only ${blocks.length} blocks found`);
    const folder = join(newcomer.folder, 'readme-blocks');
    mkdirSync(folder);
    for (const { file, line, text } of blocks) {
      // So many empty lines that the compiler's places are those of the README.
      const name = `${file.replaceAll('/', '-')}.${line}.ts`;
      writeFileSync(join(folder, name), '\n'.repeat(line - 1) + text);
    }
    const config = { extends: '../tsconfig.json', include: ['.'] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const said = await newcomer.run('npx tsc --project readme-blocks');
    assert.equal(said.code, 0, said.text);
  });

  test('of the front page is the first example, word for word', () => {
    const [block] = blocks.filter(({ file }) => file === 'README.md');
    const example = textOf('test/examples/01-onboarding/onboarding.ts');
    assert.equal(block?.text, example.slice(example.indexOf('import ')));
  });
});

describe('every link', () => {
  for (const file of [...files, 'CHANGELOG.md']) {
    test(`of ${file} leads somewhere`, () => {
      for (const { path, anchor } of linksOf(file)) {
        assert.ok(existsSync(join(root, path)), `${file} links to ${path}, and there is nothing`);
        if (anchor !== '') assert.ok(anchorsOf(path).includes(anchor), `${path} has no heading #${anchor}`);
      }
    });
  }

  test('is found by this test', () => {
    assert.ok(files.flatMap(linksOf).length > 30);
  });
});
