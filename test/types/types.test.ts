/**
 * What the compiler says to authors about their mistakes: an error in the very line, in words that say what is wrong. What
 * it must accept is in `unit/topology/types.test.ts`, which is compiled with everything else.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { root, textOf } from '../tidy/texts.ts';

const FILE = 'test/types/wrong/pipelines.ts';

/** All that the compiler says of each line. */
const said = new Map<number, string>();

/** The text that each line must be told, by the number of the line. */
const wanted = textOf(FILE)
  .split('\n')
  .flatMap((line, i) => {
    const text = /^ *\/\/ says: (.+)$/.exec(line)?.[1];
    return text === undefined ? [] : [{ line: i + 2, text }];
  });

before(async () => {
  const compiler = join(root, 'node_modules', '.bin', 'tsc');
  const flags = ['--project', join(root, 'test', 'types'), '--noEmit', '--pretty', 'false'];
  const { stdout } = await promisify(execFile)(compiler, flags, { cwd: root }).catch(
    (error: { stdout: string }) => error,
  );
  let line = 0;
  for (const text of stdout.trimEnd().split('\n')) {
    const place = /^(\S+?)\((\d+),\d+\): error/.exec(text);
    if (place !== null) line = place[1] === FILE ? Number(place[2]) : 0;
    said.set(line, `${said.get(line) ?? ''}${text}\n`);
  }
});

describe('the compiler', () => {
  test('says of each mistake, in its line, what it is', () => {
    assert.ok(wanted.length > 40, `only ${wanted.length} mistakes found`);
    const silent = wanted
      .filter(({ line, text }) => said.get(line)?.includes(text) !== true)
      .map(({ line, text }) => `line ${line} is not told: ${text}\nbut: ${said.get(line) ?? 'nothing'}`);
    assert.deepEqual(silent, []);
  });

  test('says nothing of any other line', () => {
    const lines = new Set(wanted.map(({ line }) => line));
    assert.deepEqual(
      [...said].filter(([line]) => !lines.has(line)),
      [],
    );
  });
});
