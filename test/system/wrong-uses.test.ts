/**
 * The command, used wrongly in every way that comes to mind: an exit code, what to do about it on standard error, no stack.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Cli } from '../rig/cli.ts';

const rig = new Cli();

before(() => {
  for (const name of Object.keys(process.env)) if (/^(MILLRACE|NATS)_/.test(name)) delete process.env[name];
  process.env.HOME = rig.folder;
  // Nobody is there, whatever runs on this machine.
  process.env.MILLRACE_SERVER = '127.0.0.1:1';
  delete process.env.XDG_CONFIG_HOME;
  process.chdir(rig.folder);
  writeFileSync(join(rig.folder, 'package.json'), '{"type":"module"}');
  writeFileSync(join(rig.folder, 'notes.log'), 'nothing');
});
after(() => {
  process.chdir('/');
  rig.stop();
});

/** In this process; as one of its own where that makes a difference. */
const run = (...args: string[]) => rig.ask(...args);

describe('wrong uses', () => {
  const cases: [string, string[], number, RegExp][] = [
    ['nothing at all is answered with help', [], 2, /^Usage: millrace/],
    [
      'an unknown command',
      ['gte'],
      2,
      /^error: unknown command 'gte'\n\(Did you mean get\?\)\n\(see millrace --help\)\n$/,
    ],
    ['an unknown flag', ['get', '--wdie'], 2, /^error: unknown option '--wdie'/],
    ['a missing argument', ['pause'], 2, /^error: missing required argument 'name'\n\(see millrace pause --help\)\n$/],
    ['a file that is no code', ['deploy', 'notes.log'], 4, /error: notes\.log is no code .*TypeScript or JavaScript/],
    [
      'a time without a unit',
      ['deploy', 'orders.ts', '--timeout', '5'],
      2,
      /--timeout '5' has no unit: write 5s or 5ms/,
    ],
    ['a missing file', ['deploy'], 2, /^error: which file\? give it, e\.g\. millrace deploy/],
    ['two files', ['deploy', 'a.ts', '-f', 'b.ts'], 2, /^error: there are two files/],
    ['a wrong format', ['get', '-o', 'xml'], 2, /Allowed choices are table, wide, json, yaml, name/],
    ['a wrong address', ['get', '--server', 'nonsense'], 2, /^error: --server is nonsense; give HOST:PORT/],
    ['a wrong number', ['worker', '--stop-seconds', 'ten'], 2, /--stop-seconds is ten; give a number of seconds/],
    ['an unknown kind', ['get', 'wrokers', 'x'], 2, /no kind of thing named wrokers; did you mean workers\?/],
    ['a task that is none', ['get', 'task', 'a/b'], 2, /a\/b names no task; give PIPELINE\/STAGE\/PARTITION/],
    ['no pipeline named', ['get', 'letters'], 2, /^error: the name of the pipeline is missing/],
    ['a key that is none', ['state', 'get', 'p', 'o', '{}'], 2, /\{\} is no key/],
    ['letters that nobody chose', ['letters', 'discard', 'orders'], 2, /which letters\? give --number/],
    ['all letters, and some', ['letters', 'replay', 'p', '--all', '--code', 'X'], 2, /do not go together/],
    ['a span that is none', ['letters', 'list', 'p', '--since', 'soon'], 2, /--since.*write e\.g\./],
    ['a day that is none', ['letters', 'list', 'p', '--since', '2023-02-31'], 2, /--since 2023-02-31 is no time; give/],
    ['half a certificate', ['get', '--tls-cert', 'a.pem'], 2, /--tls-cert needs --tls-key with it/],
    ['an unknown context', ['get', '--context', 'prod'], 2, /there is no context prod in .*set-context prod/],
    ['an unknown shell', ['completion', 'tcsh'], 2, /Allowed choices are bash, zsh, fish/],
    ['a file that is not there', ['deploy', 'gone.ts'], 3, /error: there is no file gone\.ts; give the path/],
    ['nobody at the address', ['get', '--server', '127.0.0.1:1'], 5, /^error: no worker answers at 127\.0\.0\.1:1;/],
    [
      'a delete that nobody answers asks nothing',
      ['delete', 'orders'],
      5,
      /^error: no worker answers at 127\.0\.0\.1:1;/,
    ],
    [
      'a data folder that cannot be made',
      [
        'worker',
        '--nats',
        'nats://127.0.0.1:1',
        '--data',
        'package.json/x',
        '--listen',
        '127.0.0.1:0',
        '--metrics',
        'off',
      ],
      1,
      /opening the data folder package\.json\/x failed: /,
    ],
  ];
  for (const [what, args, exitCode, text] of cases) {
    test(`${what}: exit code ${exitCode}, what to do on standard error, no stack`, async () => {
      const { code, out, err } = await (args[0] === 'worker' || args[0] === 'gte' ? rig.run(...args) : run(...args));
      assert.match(err, text);
      assert.doesNotMatch(err, /^\s+at /m);
      assert.equal(code, exitCode, err);
      assert.equal(out, '');
    });
  }

  test('a mistake in the pipeline is shown with its place, and --debug adds the stack', async () => {
    writeFileSync(join(rig.folder, 'broken.ts'), "import { pipeline } from 'millrace';\nexport default pipeline(;\n");
    const { code, err } = await run('deploy', 'broken.ts', '--debug');
    assert.equal(code, 4);
    assert.match(err, /^error: broken\.ts:2:25: /m);
    assert.match(err, /^\s+at /m);
  });

  test('variables and files that are wrong are named', async () => {
    const loud = await rig.begin(['worker'], { env: { MILLRACE_LOG: 'loud' } }).ended;
    assert.deepEqual([loud.code, loud.out], [2, '']);
    assert.equal(loud.err, 'error: MILLRACE_LOG is loud; give one of debug, info, warn, error\n');
    writeFileSync(join(rig.folder, 'worker.yaml'), 'replica: 3\n');
    const file = await rig.run('worker', '--config', 'worker.yaml');
    assert.equal(file.code, 2);
    assert.equal(file.err, 'error: worker.yaml: replica is no setting; did you mean replicas?\n');
    const odd = await rig.begin(['config', 'get-contexts'], { env: { MILLRACE_SEVRER: 'x' } }).ended;
    assert.equal(odd.code, 0);
    assert.match(odd.err, /^warning: the variable MILLRACE_SEVRER means nothing to millrace; did you mean/);
  });

  test('a reader that has gone ends a command quietly', async () => {
    const begun = rig.begin(['--help']);
    begun.child.stdout?.destroy();
    const { err } = await begun.ended;
    assert.equal(err, '');
  });
});
