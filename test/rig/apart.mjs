// The launcher of a test's thread, as `cmd/engine-thread.mjs` is that of the engine's.
import { workerData } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

register();
await import(workerData.file);
