import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Ended, EXIT_CODES, endingOf, report } from '../../../cmd/exit.ts';
import { inputsOf, nearbyInputs, stampOf } from '../../../cmd/inputs.ts';
import { openTerminal } from '../../../cmd/terminal.ts';
import { commandsOf, makeTree } from '../../../cmd/tree.ts';
import { complete } from '../../../cmd/verbs/completion.ts';
import { ERRORS, type ErrorCode, MillraceError } from '../../../lib/base/errors.ts';
import { bundlePipeline } from '../../../lib/bundle/bundle.ts';
import { tableRows, textOf } from '../../tidy/texts.ts';

const tree = makeTree({ terminal: openTerminal('never'), exit: () => {} });

/** The help, with what is added to it. */
function helpOf(command: ReturnType<typeof commandsOf>[number]): string {
  let text = '';
  command.configureOutput({ writeOut: part => (text += part) }).outputHelp();
  return text;
}

describe('every command', () => {
  for (const command of commandsOf(tree)) {
    const name = command === tree ? 'millrace' : `${command.parent?.name()} ${command.name()}`;
    test(`of the tree says what it does, with examples: ${name}`, () => {
      assert.match(command.description(), /^[A-Z].{10,}[.]$/s);
      assert.match(helpOf(command), /\nExamples:\n {2}\$ \S/);
      for (const option of command.options) {
        assert.ok(option.description.length > 5, `${option.flags} is not described`);
      }
      for (const argument of command.registeredArguments) {
        assert.ok(argument.description.length > 5, `${argument.name()} is not described`);
      }
    });
  }

  test('stands in the README, and there is no other there', () => {
    const told = tableRows(textOf('cmd/README.md'), 'verb', 'what it does');
    const verbs = tree.commands.map(command => command.name()).filter(name => !name.startsWith('_'));
    assert.deepEqual(told.flatMap(([cell]) => (cell ?? '').match(/[a-z]+/g)).sort(), verbs.sort());
  });
});

describe('exit codes', () => {
  test('are those of the README', () => {
    const told = tableRows(textOf('cmd/README.md'), 'exit code', 'what it says');
    assert.deepEqual(
      told,
      Object.values(EXIT_CODES).map(({ code, means }) => [String(code), means]),
    );
  });

  test('follow from the codes of errors', () => {
    const said: string[] = [];
    const codeOf = (error: unknown) => report(error, { debug: false, write: text => said.push(text) });
    const codes = (Object.keys(ERRORS) as ErrorCode[]).map(code => [code, codeOf(new MillraceError(code, 'text'))]);
    const special = Object.fromEntries(codes.filter(([, code]) => code !== 1));
    assert.deepEqual(special, {
      BROKER_UNAVAILABLE: 5,
      BROKER_REFUSED: 6,
      PLAN_INVALID: 4,
      PLAN_INCOMPATIBLE: 4,
      SUBJECT_OWNED: 4,
      NOT_FOUND: 3,
      INVALID_ARGUMENT: 2,
      CONFLICT: 5,
      WORKER_UNAVAILABLE: 5,
      UNAUTHENTICATED: 6,
      PERMISSION_DENIED: 6,
    });
    assert.equal(endingOf('UNHEARD_OF'), 'failed');
    assert.equal(codeOf(new Ended('timeout', 'late')), 7);
    assert.equal(said.at(-1), 'error: late\n');
    assert.equal(codeOf(new Error('oops')), 1);
    assert.match(said.at(-1)!, /run it again with --debug/);
  });
});

describe('completion', () => {
  const texts = async (...words: string[]) => (await complete(tree, words)).map(({ text }) => text);

  test('offers commands, those below them, flags and the words of a choice', async () => {
    assert.deepEqual(await texts('de'), ['dev', 'deploy', 'delete', 'describe']);
    assert.deepEqual(await texts('state', ''), ['tables', 'get', 'scan']);
    assert.deepEqual(await texts('letters', 'replay', 'orders', '--k'), ['--keep', '--kind']);
    assert.deepEqual(await texts('get', '-o', 'y'), ['yaml']);
    assert.deepEqual(await texts('letters', 'list', '--kind', ''), ['dead', 'late']);
    assert.deepEqual(await texts('completion', ''), ['bash', 'zsh', 'fish']);
  });

  test('asks the shell for files where a file is wanted, and never fails for want of a worker', async () => {
    assert.deepEqual(await texts('deploy', 'sr'), [':files']);
    assert.deepEqual(await texts('worker', '--config', ''), [':files']);
    assert.deepEqual(await texts('pause', '--server', '127.0.0.1:1', ''), []);
    assert.ok((await texts('get', '--server', '127.0.0.1:1', '')).includes('workers'));
  });
});

describe('what a pipeline is made of', () => {
  test('is its file and all that it imports, and a save of any of them is seen', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-inputs-test-'));
    try {
      const file = join(folder, 'src', 'pipeline.ts');
      const part = join(folder, 'src', 'parts', 'site.ts');
      mkdirSync(join(folder, 'src', 'parts'), { recursive: true });
      writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
      writeFileSync(part, 'export const site = (value: string) => value.trim();\n');
      const text = `import { pipeline } from 'millrace';
import { site } from './parts/site.ts';
export default pipeline('p', ({ from }) => { from<{ s: string }>('a.b', { capture: true }).map(e => site(e.s)).to('c.d'); });
`;
      writeFileSync(file, text);
      const inputs = inputsOf(await bundlePipeline(file), file);
      assert.deepEqual(inputs.sort(), [part, file].sort());
      const stamp = stampOf(inputs);
      utimesSync(part, new Date(1_000), new Date(1_000));
      assert.notEqual(stampOf(inputs), stamp);
      assert.deepEqual(nearbyInputs(file).sort(), [part, file].sort());
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
