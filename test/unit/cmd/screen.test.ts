import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { liveScreen, plainScreen, wrapped } from '../../../cmd/screen.ts';
import type { PipelineInfo } from '../../../lib/control/client.ts';
import { emptyStatus } from '../../../lib/observe/status.ts';

function pipeline(atMs: number, records: number): PipelineInfo {
  const counts = { in: records, out: records / 10, late: 0, dead: 1, dropped: { duplicate: 2 }, partial: false };
  const source = {
    name: 'r',
    position: 5,
    lag: 7,
    watermarkMs: 60_000,
    clockMs: 90_000,
    recordsIn: records,
    bytesIn: 0,
    lagMs: null,
    idle: false,
    quietMs: 0,
  };
  return {
    name: 'orders',
    revision: 3,
    bundleHash: '',
    file: '',
    fingerprint: '',
    deployedAtMs: 0,
    deployedBy: null,
    deleting: false,
    paused: false,
    status: { ...emptyStatus('running', null), sources: [source], watermarkMs: 60_000, counts },
    worker: 'a',
    workers: ['a'],
    atMs,
  };
}

function written(make: typeof plainScreen) {
  const texts: string[] = [];
  let now = 120_000;
  const screen = make({ title: 'TITLE', write: text => texts.push(text), now: () => now, columns: () => 80 });
  return { screen, texts, tick: (ms: number) => (now += ms) };
}

describe('the plain screen', () => {
  test('writes a status only when it changed, with rates between two snapshots', () => {
    const { screen, texts } = written(plainScreen);
    screen.status(pipeline(1_000, 1_000));
    screen.status(pipeline(3_000, 5_000));
    screen.status(pipeline(5_000, 9_000));
    screen.status(pipeline(7_000, 9_000));
    screen.status(pipeline(9_000, 9_000));
    assert.equal(texts[0], 'TITLE\n');
    assert.match(
      texts[2]!,
      /^orders {2}running {2}revision 3 .*in 2,000\/s \(5,000\) {2}out 200\/s \(500\).*dropped 2 duplicate/,
    );
    assert.match(texts[2]!, /lag 7 {2}watermark 1970-01-01T00:01:00Z {2}state/);
    assert.equal(texts.length, 5);
  });

  test('shows ten results a second and counts the rest', () => {
    const { screen, texts, tick } = written(plainScreen);
    for (let i = 0; i < 25; i++) screen.row({ subject: 's', text: String(i) });
    tick(1_000);
    screen.row({ subject: 's', text: 'last' });
    assert.deepEqual(texts.slice(-2), ['  … and 15 more results\n', '  s  last\n']);
    assert.equal(texts.length, 1 + 10 + 2);
  });

  test('tells what a pipeline does, but of single tasks only what is wrong', () => {
    const { screen, texts } = written(plainScreen);
    screen.emit({ event: 'pipeline.started', level: 'info', pipeline: 'orders' });
    screen.emit({ event: 'task.restored', level: 'info', pipeline: 'orders', partition: 3 });
    screen.emit({ event: 'task.fenced', level: 'warn', pipeline: 'orders', partition: 3 });
    screen.emit({ event: 'reader.polled', level: 'debug', pipeline: 'orders' });
    assert.deepEqual(
      texts.slice(1).map(text => /\w+\.\w+/.exec(text.slice(12))?.[0]),
      ['pipeline.started', 'task.fenced'],
    );
  });
});

test('both screens show what was not processed, and where user code failed', () => {
  const letter = { operator: 'map-1', code: 'USER_CODE', message: 'src/p.ts:4:9: no site', text: '{"id":1}' };
  for (const make of [plainScreen, liveScreen]) {
    const { screen, texts } = written(make);
    screen.letter(letter);
    screen.stop();
    assert.match(texts.join(''), /map-1 {2}USER_CODE: src\/p\.ts:4:9: no site\n {4}\{"id":1\}/);
  }
});

describe('the live screen', () => {
  test('draws a block over the one before, none of its lines wider than the terminal', () => {
    const { screen, texts } = written(liveScreen);
    screen.status(pipeline(1_000, 1_000));
    screen.row({ subject: 'out.x', text: 'y'.repeat(500) });
    screen.emit({ event: 'task.fenced', level: 'warn' });
    screen.emit({ event: 'task.restored', level: 'info' });
    screen.stop();
    const first = texts.at(-1)!;
    assert.ok(!first.includes('\x1b'));
    assert.match(first, /watermark 1970-01-01T00:01:00Z \(1m ago\)/);
    assert.match(first, /task\.fenced/);
    assert.doesNotMatch(first, /task\.restored/);
    for (const line of first.split('\n')) assert.ok(line.length < 80, line);
    screen.stop();
    const lines = first.split('\n').length - 1;
    assert.ok(texts.at(-1)!.startsWith(`\x1b[${lines}A\x1b[J`));
  });

  test('shows the latest warning whole, and the ones before in a line each', () => {
    const { screen, texts } = written(liveScreen);
    const told = (advice: string) => `stream 'IN' has max_bytes: ${'it drops what is old, '.repeat(6)}${advice}`;
    for (const message of [told('the first advice'), told('nats stream edit IN --max-bytes=-1')])
      screen.emit({ event: 'stream.edited', level: 'warn', message });
    screen.stop();
    const block = texts.at(-1)!;
    assert.match(block.replaceAll(/\n */g, ' '), /nats stream edit IN --max-bytes=-1/);
    assert.doesNotMatch(block, /the first advice/);
    for (const line of block.split('\n')) assert.ok(line.length < 80, line);
  });
});

test('a text is broken between words, and within one that is too long', () => {
  assert.deepEqual(wrapped('', 5), ['']);
  assert.deepEqual(wrapped('ab cd efgh', 5), ['ab cd', 'efgh']);
  assert.deepEqual(wrapped('abcdefgh ij', 5), ['abcde', 'fgh', 'ij']);
});
