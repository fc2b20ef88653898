/**
 * Names: invariants are cited by the names that the tour lists, each of which is argued in the file that it says and held
 * by a test; and a file that a comment names is there.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { linksOf, projectFiles, root, tableRows, textOf } from './texts.ts';

const files = projectFiles();
const TOUR = 'lib/README.md';

/** Running text: what is wrapped, in a comment too, is one line. */
function proseOf(file: string): string {
  return textOf(file)
    .replace(/\n\s*(\*|\/\/)(?= )/g, ' ')
    .replace(/\s+/g, ' ')
    .toLowerCase();
}

describe('an invariant', () => {
  const rows = tableRows(textOf(TOUR), 'invariant', 'what it says', 'argued in');
  const names = rows.map(([name = '']) => name);

  test('has a name of its own', () => {
    assert.ok(names.length > 30, `only ${names.length} found`);
    assert.equal(new Set(names).size, names.length);
  });

  test('is argued where the tour says', () => {
    const prose = new Map(linksOf(TOUR).map(({ path }) => [path, path.endsWith('.ts') ? proseOf(path) : '']));
    const wrong = rows.filter(([name = '', , place = '']) => {
      const path = `lib/${/\]\((.+)\)/.exec(place)?.[1]}`;
      return prose.get(path)?.includes(name) !== true;
    });
    assert.deepEqual(wrong, []);
  });

  test('is held by a test', () => {
    const tests = files
      .filter(file => file.startsWith('test/') && file.endsWith('.ts') && !file.startsWith('test/tidy/'))
      .map(proseOf)
      .join('\n');
    assert.deepEqual(
      names.filter(name => !tests.includes(name)),
      [],
    );
  });

  test('is not cited by a letter', () => {
    const letter =
      /\binvariants? [A-Z]\b|^ *\* [A-Z]\. |\*\*?[A-Z](, [a-z ]+)?\*|\b[A-Z] (to [A-Z] )?of `|^ *(\*|\/\/|\/\*\*|(test|describe|at)\().*\([A-Z]\)/m;
    const wrong = files
      .filter(file => /^(lib|cmd|test)\/.*\.(ts|md)$/.test(file))
      .map(file => [file, letter.exec(textOf(file))?.[0]])
      .filter(([, found]) => found !== undefined);
    assert.deepEqual(wrong, []);
  });
});

test('no comment opens with a genitive, which cannot be read alone', () => {
  const wrong = files.filter(file => /^(lib|cmd|test)\/.*\.ts$/.test(file) && /(\/\*\*|\/\/) Of /.test(textOf(file)));
  assert.deepEqual(wrong, []);
});

describe('a file that is named', () => {
  /** Files of others, and of what is made. */
  const ELSEWHERE = new Set([
    'google/rpc/error_details.proto',
    'src/pipeline.ts',
    'test/pipeline.test.ts',
    'results.md',
  ]);

  test('in backquotes in a comment or a README is there', () => {
    const isThere = (name: string) =>
      existsSync(join(root, name)) || files.some(file => file === name || file.endsWith(`/${name}`));
    const wrong: string[] = [];
    for (const file of files.filter(file => /\.(ts|mjs|md)$/.test(file) && file !== 'CHANGELOG.md')) {
      const lines = textOf(file).split('\n');
      lines.forEach((line, i) => {
        if (!file.endsWith('.md') && !/^\s*(\*|\/\/|\/\*\*)| \/\/ /.test(line)) return;
        for (const [, named = ''] of line.matchAll(/`([\w./-]+\.(?:ts|mjs|md|proto))`/g)) {
          const name = named.replace(/^(\.{1,2}\/)+/, '');
          if (!ELSEWHERE.has(name) && !isThere(name)) wrong.push(`${file}:${i + 1}: ${named}`);
        }
      });
    }
    assert.deepEqual(wrong, []);
  });
});
