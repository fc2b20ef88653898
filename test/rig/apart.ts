/**
 * A test in a thread of its own, for what is nothing but computing, and full of promises: node's runner follows each of
 * them, to tell which test an error comes from, and that doubles what it costs. A thread has not got the runner in it.
 *
 * The thread loads the same file again, and runs the test of that name there; so a file with such tests has no others.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

interface Apart {
  readonly file: string;
  readonly name: string;
}

/** @param file the caller's `import.meta.url` */
export function testApart(name: string, file: string, work: () => Promise<void>): void {
  if (isMainThread) test(name, () => inThread({ file, name }));
  // A rejection ends the thread, with that error.
  else if ((workerData as Apart).name === name) void work().then(() => parentPort!.postMessage('done'));
}

async function inThread(apart: Apart): Promise<void> {
  const thread = new Worker(new URL('./apart.mjs', import.meta.url), { workerData: apart });
  let isDone = false;
  thread.once('message', () => {
    isDone = true;
  });
  const code = await new Promise<number>((resolve, reject) => {
    thread.once('error', reject);
    thread.once('exit', resolve);
  });
  assert.ok(isDone && code === 0, `the thread has ended with ${code} before the test was done`);
}
