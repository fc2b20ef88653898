// The launcher of a test's thread, as `cmd/worker-thread.mjs` is that of a worker's.
import { workerData } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

register();
await import(workerData.file);
