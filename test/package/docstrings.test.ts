/**
 * Docstrings: all that pipeline authors can import says what it is, and so does every member of it, as editors show it.
 * Read from the declarations that the package ships.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { root, textOf } from '../tidy/texts.ts';

/** What streams inherit from, and what `from` and `table` belong to. */
const BEHIND = ['Flow'];

let folder = '';
/** The lines of each declaration of lib, by its name, from the line before it on. */
const declared = new Map<string, string[]>();

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-docstrings-'));
  const compiler = join(root, 'node_modules', '.bin', 'tsc');
  const flags = ['--project', join(root, 'tsconfig.build.json'), '--outDir', folder, '--noCheck'];
  await promisify(execFile)(compiler, flags);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.name.endsWith('.d.ts')) continue;
    const lines = readFileSync(join(entry.parentPath, entry.name), 'utf8').split('\n');
    lines.forEach((line, i) => {
      const name = /^(?:export |declare |abstract )+(?:class|interface|type|function|const) (\w+)/.exec(line)?.[1];
      if (name !== undefined && !declared.has(name)) declared.set(name, lines.slice(Math.max(0, i - 1)));
    });
  }
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** The names that index.ts exports. */
const names = Array.from(textOf('lib/index.ts').matchAll(/^export (?:type )?\{([^}]*)\}/gm), match => match[1] ?? '')
  .flatMap(list => list.split(','))
  .map(name => name.replace('type ', '').trim())
  .filter(name => name !== '');

const endsComment = (line: string | undefined) => line?.trim().endsWith('*/') === true;

/** Members of a declaration without a docstring. Of overloads each needs one of its own, or follows one that has. */
function undocumented(lines: readonly string[]): string[] {
  const missing: string[] = [];
  const documented = new Set<string>();
  // The docstring, the head, the members at one indent, and the end.
  const end = lines.findIndex((line, i) => i > 0 && /^\}/.test(line));
  // The options of functions are told by the function's own docstring.
  const multiline = /^(export |declare |abstract )+(class|interface) .*\{$/.test(lines[1] ?? '');
  for (let i = 2; multiline && i < end; i++) {
    const line = lines[i] ?? '';
    const member = /^ {4}(?:readonly |declare |static |get )*(\w+)\??[(:<]/.exec(line)?.[1];
    if (member === undefined || /^ {4}(private|protected|constructor)/.test(line)) continue;
    if (endsComment(lines[i - 1])) documented.add(member);
    else if (!documented.has(member)) missing.push(member);
  }
  return missing;
}

describe('all that authors can import', () => {
  test('says what it is', () => {
    assert.ok(names.length > 40, `only ${names.length} names found`);
    const wrong = names.filter(name => !endsComment(declared.get(name)?.[0]));
    assert.equal(wrong.join('\n'), '');
  });

  test('says of every member what it is', () => {
    const wrong = [...names, ...BEHIND].flatMap(name =>
      undocumented(declared.get(name) ?? []).map(member => `${name}.${member}`),
    );
    assert.equal(wrong.join('\n'), '');
  });
});
