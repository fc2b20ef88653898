/** Bundles as the cluster keeps them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { bundleBlob, storedBundle } from '../../../lib/bundle/stored.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';

const about = { pipeline: 'p', bundle: 'abc', file: 'p.ts' };

test('a bundle is found by its hash', async () => {
  const blobs = new MemoryBlobs({ clock: systemClock });
  await blobs.put(bundleBlob('abc'), Buffer.from('code'));
  const { code, hash, file } = await storedBundle(blobs, about);
  assert.deepEqual([Buffer.from(code).toString(), hash, file], ['code', 'abc', 'p.ts']);
});

test('one that is gone is a clear failure', async () => {
  const blobs = new MemoryBlobs({ clock: systemClock });
  await assert.rejects(
    storedBundle(blobs, about),
    error =>
      isMillraceError(error, 'NOT_FOUND') &&
      /^the bundle abc of pipeline p is gone from .* deploy it again$/.test(error.message),
  );
});
