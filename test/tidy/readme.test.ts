/**
 * What the READMEs say is true: every `ts` block compiles against the types, every link leads somewhere. Their commands
 * are run by the files whose names begin with `commands-`.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Newcomer } from './newcomer.ts';
import { INSTEAD } from './obey.ts';
import {
  anchorsOf,
  blocksOf,
  commandBlocksOf,
  commandsOf,
  linksOf,
  PRODUCTION,
  readmes,
  root,
  textOf,
} from './texts.ts';

const files = readmes();

describe('every command', () => {
  test('is found, as well as each that is run otherwise', () => {
    assert.ok(files.length >= 6, `only ${files.length} READMEs found`);
    const commands = files.flatMap(commandsOf);
    assert.ok(commands.length >= 20);
    assert.ok(commandBlocksOf('README.md').some(({ heading }) => heading === PRODUCTION));
    for (const command of Object.keys(INSTEAD)) assert.ok(commands.includes(command), `no README says ${command}`);
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
