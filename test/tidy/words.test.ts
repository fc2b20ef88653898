/**
 * Words and sizes: nothing unfinished is left in the tree, nothing speaks of the machine it was written on, no file has
 * outgrown what one reads at a sitting, and tables in READMEs say what the code says.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ERRORS } from '../../lib/base/errors.ts';
import {
  broadcastSubject,
  channelSubject,
  channelsStream,
  goneSubject,
  journalStream,
  journalSubject,
  letterMarkerSubject,
  letterSubject,
  lettersStream,
  markerSubject,
} from '../../lib/record/names.ts';
import { projectFiles, tableRows, textOf } from './texts.ts';

/** Written in pieces, so that this file does not find itself. */
const FORBIDDEN: readonly (readonly [what: string, pattern: RegExp])[] = [
  ['a mark of unfinished work', new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'HA' + 'CK'].join('|')})\\b`)],
  ['a test that is left out', new RegExp(`\\.(only|skip|${'to' + 'do'})\\(|\\{ *(only|skip): `)],
  ['a silenced compiler', new RegExp(`@ts-(${['ig' + 'nore', 'no' + 'check'].join('|')})`)],
  ['a path of a machine', new RegExp(`(^|[\\s'"\`(=:])/(${['work', 'root', 'home', 'Users'].join('|')})/`, 'm')],
  ['a registry', new RegExp(`(registry\\.${'npmjs'}|npm\\.pkg\\.${'github'}|verd${'accio'}|artif${'actory'})`, 'i')],
];

/** Files in which it is something else. */
const ALLOWED: readonly (readonly [file: RegExp, what: string, why: string])[] = [
  [/^package-lock\.json$/, 'a registry', 'npm writes where each package comes from'],
  [/^lib\//, 'a test that is left out', 'readers skip messages; there are no tests in lib'],
];

const LINES_MAX = 400;
/** Files that are longer, and why they are one. */
const LONG: Readonly<Record<string, string>> = {
  'lib/topology/stream.ts': 'streams with and without a key return each other, and half of it is docstrings',
  'lib/observe/catalogue.ts': 'two lists, of which nobody reads more than an entry',
  'lib/task/task.ts': 'one actor: its steps share all of its state, and are read as one story',
};

const files = projectFiles();
const texts = new Map(files.map(file => [file, textOf(file)]));

describe('the tree', () => {
  test('is found', () => {
    assert.ok(files.length > 200, `only ${files.length} files found`);
    for (const file of ['cmd/millrace.ts', 'lib/index.ts', 'proto/millrace/admin/v1/pipeline.proto', 'README.md']) {
      assert.ok(texts.has(file), `${file} is missing`);
    }
  });

  for (const [what, pattern] of FORBIDDEN) {
    test(`does not hold ${what}`, () => {
      const isAllowed = (file: string) => ALLOWED.some(([files, other]) => other === what && files.test(file));
      const wrong = files.filter(file => !isAllowed(file) && pattern.test(texts.get(file) ?? ''));
      assert.deepEqual(
        wrong.map(file => `${file}: ${pattern.exec(texts.get(file) ?? '')?.[0].trim()}`),
        [],
      );
    });
  }

  test('has no file of code that is too long to be read at a sitting, but those listed', () => {
    const long = files
      .filter(file => /^(lib|cmd)\/.*\.ts$/.test(file) && LONG[file] === undefined)
      .filter(file => (texts.get(file) ?? '').trimEnd().split('\n').length > LINES_MAX);
    assert.deepEqual(long, []);
  });
});

test('what `npm test -- --quick` runs starts no broker', () => {
  // The program beside the tests is none of them.
  const quick = files.filter(file => /^test\/(fuzz|types|unit)\//.test(file) && file !== 'test/fuzz/worker.ts');
  assert.ok(quick.length > 100, `only ${quick.length} files found`);
  const wrong = quick.filter(file => /\b(startServer|startBroker|WorkerProcess)\(/.test(texts.get(file) ?? ''));
  assert.deepEqual(wrong, []);
});

describe('what a README says in a table', () => {
  const plain = (cell: string | undefined) => (cell ?? '').replaceAll('`', '');

  test('of errors is the table of the code: each code once, with its fate and meaning, in the same order', () => {
    const rows = tableRows(textOf('lib/base/README.md'), 'code', 'fate', 'means');
    assert.deepEqual(
      rows.map(([code, fate, means]) => [plain(code), fate, means]),
      Object.entries(ERRORS).map(([code, { fate, means }]) => [code, fate, means]),
    );
  });

  test('of fates has each fate', () => {
    const rows = tableRows(textOf('lib/base/README.md'), 'fate', 'what is done');
    const fates = new Set(Object.values(ERRORS).map(({ fate }) => fate));
    assert.deepEqual(rows.map(([fate]) => plain(fate)).sort(), [...fates].sort());
  });

  test('of streams and subjects has those that the code makes', () => {
    const rows = tableRows(textOf('lib/outlet/README.md'), 'stream', 'subjects');
    const [pipeline, life, stage, input, writer, sink, operator] = [
      'pipeline',
      'life',
      'stage',
      'input',
      'writer',
      'sink',
      'operator',
    ].map(word => `<${word}>`) as [string, string, string, string, string, string, string];
    const deployment = { pipeline, life };
    const task = { stage, partition: 7 };
    const made = [
      journalSubject(deployment, task),
      channelSubject(deployment, { ...task, input, writer }),
      broadcastSubject(deployment, { stage, input, writer }),
      channelSubject(deployment, { ...task, bootstrap: true, input, writer }),
      broadcastSubject(deployment, { stage, bootstrap: true, input, writer }),
      markerSubject(deployment, { ...task, sink }),
      letterSubject(pipeline, { kind: 'dead', operator }),
      letterSubject(pipeline, { kind: 'late', operator }),
      letterMarkerSubject(deployment, writer),
      goneSubject(pipeline, 8).replace('8', '<sequence>'),
    ].map(subject => subject.replace('7', '<partition>'));
    const told = rows.map(([, subjects]) => plain(subjects)).filter(subjects => subjects.includes('<'));
    assert.deepEqual(told.sort(), made.sort());
    const streams = rows.map(([stream]) => plain(stream)).filter(stream => stream.startsWith('MR_'));
    const channels = [false, true].map(bootstrap => channelsStream(deployment, { stage, bootstrap }));
    const madeStreams = [journalStream(deployment), ...channels, lettersStream(pipeline)];
    assert.deepEqual(streams.sort(), madeStreams.sort());
  });

  test('of headers has those that the code sets', () => {
    const told = new Set(textOf('lib/outlet/README.md').match(/Millrace-[A-Z][A-Za-z-]+/g));
    const code = files
      .filter(file => /^lib\/(chain|channel|journal|outlet|task|record)\/.*\.ts$/.test(file))
      .map(file => texts.get(file));
    const set = new Set(code.join('\n').match(/(?<=')Millrace-[A-Z][A-Za-z-]+(?=')/g));
    assert.deepEqual([...told].sort(), [...set].sort());
  });

  test('of changes is about the version in package.json', () => {
    const { version } = JSON.parse(textOf('package.json')) as { version: string };
    assert.equal(/^## \[(\d\S*)\]/m.exec(textOf('CHANGELOG.md'))?.[1], version);
  });
});
