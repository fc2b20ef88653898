/** The demo as users start it, in small: it must end by itself with every row right, with and without crashes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const DEMO = fileURLToPath(new URL('demo.ts', import.meta.url));

function runDemo(...flags: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', DEMO, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  return new Promise(resolve => child.once('close', code => resolve({ code, out, err })));
}

describe('the demo', () => {
  test('ends with every row right', async () => {
    const { code, out, err } = await runDemo('--flights', '2000', '--rate', '2000');
    assert.equal(code, 0, out + err);
    assert.match(out, /flights\.departures\.\*: verified (\d+) of \1\n/);
    assert.match(out, /flights\.cancelled\.\*: verified (\d+) of \1\n/);
    assert.match(out, /flights\.delays\.\*: verified (\d+) of \1\n/);
    const [, all, ...kinds] =
      /as (\S+) events: (\S+) plans, (\S+) departures, (\S+) copies of these, (\S+) unreadable, (\S+) heartbeats;/
        .exec(out)!
        .map(text => Number(text.replaceAll(',', '')));
    assert.equal(
      kinds.reduce((sum, count) => sum + count, 0),
      all,
      out,
    );
    assert.match(out, /dead letters: (\d+) of \1\n/);
    assert.match(out, /late records: 1 of 1\n/);
    assert.match(
      out,
      /what runs, from test\/demo\/pipeline\.ts:\n {2}const flights = scheduled\n[\s\S]*\.to\('flights\.delays/,
    );
    const shown =
      /one flight, .*\n {2}in {6}planning.*\n( {2}in {6}.*\n)+ {2}out {5}flights\.departures\.\d+ {2}(\{.*\})\n/.exec(
        out,
      );
    assert.equal(typeof JSON.parse(shown?.[2] ?? '').delay, 'number', out);
    assert.match(
      out,
      / {2}in {6}operations\.flight\.departed.*o-late.*\n {2}letter {2}millrace\.flights\.late\.\S+ {2}\d+ hours late/,
    );
  });

  test('ends with every row right though the worker was killed eight times', async () => {
    const { code, out, err } = await runDemo('--flights', '2000', '--rate', '2000', '--crash');
    assert.equal(code, 0, out + err);
    const kills = /the worker was killed (\d+) times/.exec(out);
    assert.ok(Number(kills?.[1]) >= 8, out);
  });

  test('explains itself, and refuses what it does not understand', async () => {
    const help = await runDemo('--help');
    assert.equal(help.code, 0);
    assert.match(help.out, /--crash/);
    const wrong = await runDemo('--flights', 'many');
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /error: --flights many: take a number from 1 to/);
  });
});
