/** How commands find the `dev` of the project that they are run in, and notice another project's. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { checkMeant, findDev, projectOf, publishDev } from '../../../cmd/dev-file.ts';
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

describe('the file that names a dev', () => {
  test('is found from every folder of the project while it runs, and then no more', () => {
    const project = folder('a');
    const inside = folder('a', 'src', 'deep');
    assert.equal(findDev(inside), null);
    const take = publishDev({ project, api: '127.0.0.1:5000', pid: process.pid });
    assert.deepEqual(findDev(inside), { project, api: '127.0.0.1:5000', pid: process.pid });
    assert.equal(findDev(top), null);
    take();
    assert.equal(findDev(inside), null);
    assert.equal(existsSync(join(project, '.millrace', 'dev.json')), false);
  });

  test('of a process that was killed, or that is none of ours, is passed over', () => {
    const outer = folder('b');
    const inner = folder('b', 'inner');
    publishDev({ project: outer, api: '127.0.0.1:5001', pid: process.pid });
    publishDev({ project: inner, api: '127.0.0.1:5002', pid: goneId() });
    assert.equal(findDev(inner)?.api, '127.0.0.1:5001');
    for (const text of ['', '{}', '{"api":1,"pid":"x"}', 'null']) {
      writeFileSync(join(inner, '.millrace', 'dev.json'), text);
      assert.equal(findDev(inner)?.api, '127.0.0.1:5001', text);
    }
  });

  test('of another that has come meanwhile stays', () => {
    const project = folder('c');
    const take = publishDev({ project, api: '127.0.0.1:5003', pid: goneId() });
    publishDev({ project, api: '127.0.0.1:5004', pid: process.pid });
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
