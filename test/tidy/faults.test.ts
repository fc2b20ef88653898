/** The table of faults that operators read: each row names a test that there is, and tells all it should. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const rows = readFileSync(join(root, 'deploy/FAULTS.md'), 'utf8')
  .split('\n')
  .filter(line => line.startsWith('| ') && !line.startsWith('| fault '))
  .map(line => line.split(' | ').map(cell => cell.replace(/^\| | \|$/g, '')));

/** Text of all tests that use a real broker; names may be templates, so what they are made of counts. */
const tests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.test.ts'))
  .map(name => readFileSync(join(root, 'test', name), 'utf8'))
  .join('\n');

/** Names as they are in the code: literal, or made from a template and a word for each of its places. */
function isTest(name: string): boolean {
  if (tests.includes(`'${name}'`)) return true;
  const templates = Array.from(tests.matchAll(/test\(`([^`]+)`/g), match => match[1]!.split(/\$\{\w+\}/));
  return templates.some(parts => {
    const pattern = parts.map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('(.+)');
    const words = new RegExp(`^${pattern}$`).exec(name)?.slice(1) ?? [];
    return words.length > 0 && words.every(word => tests.includes(`'${word}'`));
  });
}

test('each row of the table of faults names a test that there is', () => {
  assert.ok(rows.length > 30, `only ${rows.length} rows found`);
  assert.deepEqual(
    rows.map(row => row.at(-1) ?? '').filter(name => !isTest(name)),
    [],
  );
});

test('each row of the table of faults says what is seen, what happens by itself and what to do', () => {
  for (const row of rows) {
    assert.equal(row.length, 5, row.join(' | '));
    for (const cell of row) assert.notEqual(cell.trim(), '', row.join(' | '));
  }
});
