/** Folders: made with those above them, and refused where none can be, in place of being tried for ever. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder } from '../../../lib/base/folder.ts';

test('a folder is made with those above it, and one that is there is left', async () => {
  const root = await mkdtemp(join(tmpdir(), 'millrace-folder-'));
  try {
    makeFolder(join(root, 'a', 'b', 'c'), 0o700);
    makeFolder(join(root, 'a', 'b'));
    for (const name of ['a', 'a/b', 'a/b/c']) assert.equal(statSync(join(root, name)).mode & 0o777, 0o700);
    await writeFile(join(root, 'file'), '');
    assert.throws(() => makeFolder(join(root, 'file')), { code: 'EEXIST' });
    assert.throws(() => makeFolder(join(root, 'file', 'below')), { code: 'ENOTDIR' });
  } finally {
    await rm(root, { recursive: true });
  }
});

// Linux says there that there is nothing to make it in; others that it may not be.
test('a folder that the system takes nowhere is refused', () => {
  assert.throws(() => makeFolder('/proc/none/below'));
});
