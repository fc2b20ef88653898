/** The bench's and the soak's commands: what they explain, and what they refuse. What they measure is in the other tests. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-cli-'));
after(() => rmSync(folder, { recursive: true }));

function run(program: 'bench' | 'soak', ...flags: string[]): Promise<{ code: number; out: string; err: string }> {
  const file = fileURLToPath(new URL(`${program}.ts`, import.meta.url));
  return new Promise(resolve => {
    const child = execFile(process.execPath, ['--import', 'tsx', file, ...flags], (_, out, err) =>
      resolve({ code: child.exitCode ?? -1, out, err }),
    );
  });
}

describe('the commands', () => {
  test('explain themselves with examples', async () => {
    for (const program of ['bench', 'soak'] as const) {
      const { code, out } = await run(program, '--help');
      assert.equal(code, 0);
      assert.match(out, new RegExp(`Examples:\\n {2}npm run ${program}\\b[\\s\\S]*Options:\\n`));
    }
  });

  test('refuse what they do not understand, and name what there is', async () => {
    const wrong: readonly (readonly [program: 'bench' | 'soak', flags: string, said: RegExp])[] = [
      ['bench', '--query q7', /--query q7: there is q0, q2, qd, qj, q5, q11/],
      ['bench', '--shape square', /--shape square: there is framed, single, safe/],
      ['bench', '--events many', /--events many: take a number from 1000 on/],
      ['bench', '--out results.txt', /name a \.json file/],
      ['bench', '--compare one.json', /takes two files/],
      ['bench', '--compare nowhere.json nowhere.json', /nowhere\.json cannot be read/],
      ['bench', 'results.json', /files are for --compare/],
      ['bench', '--fast', /Unknown option '--fast'/],
      ['soak', '--minutes 0', /--minutes 0: take a number above 0/],
    ];
    for (const [program, flags, said] of wrong) {
      const { code, err } = await run(program, ...flags.split(' '));
      assert.equal(code, 2, flags);
      assert.match(err, said);
    }
  });

  test('compare two files, and refuse one that holds something else', async () => {
    const machine = { cpu: 'one', cores: 2, memoryGb: 8, node: '20', natsServer: '2.12.0' };
    const before = {
      format: 1,
      at: '2026-01-02T03:04:05Z',
      version: '1',
      commit: null,
      machine,
      queries: [],
      state: [],
    };
    const recovery = [{ disk: 'kept', keys: 1, correct: true, stateMb: 1, silentSeconds: 4, freshSeconds: 5 }];
    const file = join(folder, 'before.json');
    writeFileSync(file, JSON.stringify({ ...before, recovery }));
    const { code, out } = await run('bench', '--compare', file, file);
    assert.equal(code, 0);
    assert.match(out, /crash, folder kept +silent s +4\.0 +4\.0 +1\.00/);
    writeFileSync(join(folder, 'other.json'), '{"name":"other"}');
    const refused = await run('bench', '--compare', file, join(folder, 'other.json'));
    assert.equal(refused.code, 2);
    assert.match(refused.err, /does not hold results/);
  });
});
