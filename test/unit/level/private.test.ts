import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { privateFolder } from '../../../lib/level/private.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-private-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const modeOf = (path: string) => statSync(path).mode & 0o1777;

describe('a data folder', () => {
  test('that is made is nobody else’s, and nothing is said of it', async () => {
    const path = join(folder, 'a', 'new');
    assert.equal(await privateFolder(path), null);
    assert.equal(modeOf(path), 0o700);
    assert.equal(await privateFolder(path), null);
  });

  test('that was open to others is closed, and told', async () => {
    const path = join(folder, 'open');
    mkdirSync(path);
    chmodSync(path, 0o750);
    assert.match((await privateFolder(path)) ?? '', /was open to others \(mode 750\) and is no longer$/);
    assert.equal(modeOf(path), 0o700);
  });

  test('that is everybody’s is left as it is, and told', async () => {
    const path = join(folder, 'everybody');
    mkdirSync(path);
    chmodSync(path, 0o1777);
    assert.match((await privateFolder(path)) ?? '', /others have things in it: give a folder of its own/);
    assert.equal(modeOf(path), 0o1777);
  });

  test('that cannot be is an error of the store', async () => {
    writeFileSync(join(folder, 'file'), '');
    await assert.rejects(privateFolder(join(folder, 'file')), error => isMillraceError(error, 'STORE_UNAVAILABLE'));
  });
});
