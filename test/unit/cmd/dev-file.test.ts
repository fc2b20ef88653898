/** How commands find the `dev` of the project that they are run in, and notice another project's. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { checkMeant, findDev, projectOf, publishDev } from '../../../cmd/dev-file.ts';
import { whomText } from '../../../cmd/verbs/common.ts';
import { isMillraceError } from '../../../lib/base/errors.ts';

const top = mkdtempSync(join(tmpdir(), 'millrace-dev-file-'));
after(() => rmSync(top, { recursive: true, force: true }));

function folder(...parts: string[]): string {
  const path = join(top, ...parts);
  mkdirSync(path, { recursive: true });
  return path;
}

/** The id that a process had which has ended. */
function goneId(): number {
  return spawnSync(process.execPath, ['--version']).pid;
}

const NATS = 'nats://127.0.0.1:4333';

describe('the file that names a dev', () => {
  test('is found from every folder of the project while it runs, and then no more', () => {
    const project = folder('a');
    const inside = folder('a', 'src', 'deep');
    assert.equal(findDev(inside), null);
    const take = publishDev({ project, api: '127.0.0.1:5000', nats: NATS, pid: process.pid });
    assert.deepEqual(findDev(inside), { project, api: '127.0.0.1:5000', nats: NATS, pid: process.pid });
    assert.equal(findDev(top), null);
    take();
    assert.equal(findDev(inside), null);
    assert.equal(existsSync(join(project, '.millrace', 'dev.json')), false);
  });

  test('of a process that was killed, or that is none of ours, is passed over', () => {
    const outer = folder('b');
    const inner = folder('b', 'inner');
    publishDev({ project: outer, api: '127.0.0.1:5001', nats: NATS, pid: process.pid });
    publishDev({ project: inner, api: '127.0.0.1:5002', nats: NATS, pid: goneId() });
    assert.equal(findDev(inner)?.api, '127.0.0.1:5001');
    for (const text of ['', '{}', '{"api":"127.0.0.1:1","pid":1}', 'null']) {
      writeFileSync(join(inner, '.millrace', 'dev.json'), text);
      assert.equal(findDev(inner)?.api, '127.0.0.1:5001', text);
    }
  });

  test('of another that has come meanwhile stays', () => {
    const project = folder('c');
    const take = publishDev({ project, api: '127.0.0.1:5003', nats: NATS, pid: goneId() });
    publishDev({ project, api: '127.0.0.1:5004', nats: NATS, pid: process.pid });
    take();
    assert.equal(findDev(project)?.api, '127.0.0.1:5004');
  });
});

describe('whoever answers at the usual address', () => {
  const check = (project: string | null, here: string | null) =>
    checkMeant({ server: '127.0.0.1:4280', project, here });

  test('is meant if it is a worker, or the dev of this project or of one around or below', () => {
    check(null, '/projects/a');
    check('/projects/a', null);
    check('/projects/a', '/projects/a');
    check('/projects/a/packages/b', '/projects/a');
    check('/projects/a', '/projects/a/packages/b');
    check('/', '/projects/a');
  });

  test('is not if it is another project’s dev: that is said, and how to mean it', () => {
    for (const other of ['/projects/b', '/projects/ab', '/projects/a2/a']) {
      assert.throws(
        () => check(other, '/projects/a'),
        error =>
          isMillraceError(error, 'INVALID_ARGUMENT') &&
          error.message.includes(other) &&
          /--server 127\.0\.0\.1:4280$/.test(error.message),
      );
    }
  });

  test('a project is the nearest folder with a package.json', () => {
    const project = folder('d');
    const inside = folder('d', 'src');
    writeFileSync(join(project, 'package.json'), '{}');
    assert.equal(projectOf(inside), project);
  });
});

describe('who is asked', () => {
  const dev = { project: '/projects/a', api: '127.0.0.1:5000', nats: NATS, pid: 1 };
  const whom = (server: string, source: 'dev' | 'file' | 'variable' | 'flag' | 'default', more = {}) =>
    whomText({ server, context: 'prod', dev, sources: { server: source }, ...more }, { named: false });

  test('is said where a context or a variable passes over the dev that runs here', () => {
    assert.equal(
      whom('prod:4280', 'file'),
      "asking context prod at prod:4280, and not this project's dev: to ask that, --server 127.0.0.1:5000",
    );
    assert.match(whom('prod:4280', 'variable') ?? '', /^asking prod:4280, which MILLRACE_SERVER names, and not/);
    assert.equal(whom('127.0.0.1:5000', 'dev'), "asking this project's dev at 127.0.0.1:5000");
  });

  test('is not said where it is plain: no dev runs here, it is asked, or the command names another', () => {
    assert.equal(whom('prod:4280', 'file', { dev: null }), null);
    assert.equal(whom('127.0.0.1:5000', 'file'), null);
    assert.equal(whom('prod:4280', 'flag'), null);
    assert.equal(
      whomText({ server: 'prod:1', context: 'prod', dev, sources: { server: 'file' } }, { named: true }),
      null,
    );
    assert.equal(whom('127.0.0.1:4280', 'dev'), null);
  });
});
