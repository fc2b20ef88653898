/** What must be undone: in which order, and how often. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Closing } from '../../rig/closing.ts';

describe('closing', () => {
  test('undoes the last first, one after the other, and once', async () => {
    const closing = new Closing();
    const undone: string[] = [];
    closing.add(() => undone.push('folder'));
    closing.add(async () => {
      await new Promise(resolve => setTimeout(resolve, 5));
      undone.push('broker');
    });
    await Promise.all([closing.run(), closing.run()]);
    await closing.run();
    assert.deepEqual(undone, ['broker', 'folder']);
  });

  test('undoes at once what comes too late', async () => {
    const closing = new Closing();
    const undone: string[] = [];
    closing.add(() => undone.push('folder'));
    const run = closing.run();
    closing.add(() => undone.push('worker'));
    await run;
    await closing.run();
    assert.deepEqual(undone, ['folder', 'worker']);
  });
});
