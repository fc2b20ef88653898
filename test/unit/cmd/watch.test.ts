import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { OutputFormat, Resource } from '../../../cmd/output.ts';
import { openTerminal, shownText, type Terminal } from '../../../cmd/terminal.ts';
import { watchList } from '../../../cmd/watch.ts';
import { MillraceError } from '../../../lib/base/errors.ts';

interface Thing {
  readonly name: string;
  readonly state: string;
}

const things: Resource<Thing> = {
  kind: 'thing',
  none: 'none',
  name: thing => thing.name,
  json: thing => thing,
  columns: [
    { head: 'NAME', cell: thing => thing.name },
    { head: 'STATE', cell: thing => thing.state },
    { head: 'AGE', cell: () => String(performance.now()) },
  ],
};

/** What is written when the list is read so often; an error in place of a list is thrown by the read. */
async function watched(reads: readonly (readonly Thing[] | Error)[], live: boolean, output: OutputFormat = 'table') {
  const [out, err]: [string[], string[]] = [[], []];
  const terminal: Terminal = {
    ...openTerminal('never'),
    out: text => void out.push(shownText(text)),
    err: text => void err.push(shownText(text)),
    live,
    columns: 40,
    rows: 5,
  };
  const left = [...reads];
  const read = async () => {
    const next = left.shift() ?? new Error('the end');
    if (next instanceof Error) throw next;
    return next;
  };
  const format = { output, headers: true };
  await assert.rejects(watchList({ terminal, resource: things, format, one: false, intervalMs: 1, read }), /the end/);
  return { out, err };
}

const a = { name: 'a', state: 'starting' };
const b = { name: 'b', state: 'running' };
const away = new MillraceError('WORKER_UNAVAILABLE', 'nobody answers');

describe('a watch', () => {
  test('in a pipe appends what has changed, and the heads once', async () => {
    const { out } = await watched(
      [
        [a, b],
        [a, b],
        [{ ...a, state: 'running' }, b],
      ],
      false,
    );
    assert.deepEqual(
      out.map(text =>
        text
          .replace(/ +[\d.]+$/gm, '')
          .trim()
          .split(/\s+/),
      ),
      [
        ['NAME', 'STATE', 'AGE', 'a', 'starting', 'b', 'running'],
        ['a', 'running'],
      ],
    );
    const json = await watched([[a, b], [b]], false, 'json');
    assert.deepEqual(json.out, [`${JSON.stringify(a)}\n${JSON.stringify(b)}\n`].join('').match(/.*\n/g));
  });

  test('goes on when the worker is away for a while, and says so once', async () => {
    const { out, err } = await watched([[a], away, away, [b]], false);
    assert.equal(out.length, 2);
    assert.deepEqual(err, ['nobody answers\n']);
    await assert.rejects(watched([new MillraceError('NOT_FOUND', 'gone')], false), /gone/);
  });

  test('at a terminal draws over what it has drawn, as many lines as fit and as they take there', async () => {
    const wide = { name: 'n'.repeat(30), state: 's' };
    const { out } = await watched([[a], [wide, a, b], away], true);
    assert.ok(!out[0]!.includes('\x1b'));
    assert.ok(out[1]!.startsWith('\x1b[2A\x1b[J'));
    assert.equal(out[1]!.trimEnd().split('\n').length, 2, 'each of two lines takes two');
    assert.ok(out[2]!.startsWith('\x1b[4A\x1b[J'));
  });
});
