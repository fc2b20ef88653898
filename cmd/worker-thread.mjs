// The launcher of a worker's thread, as `millrace.mjs` is that of the command.
import { existsSync } from 'node:fs';

if (existsSync(new URL('./worker-thread.ts', import.meta.url))) {
  const { register } = await import('tsx/esm/api');
  register();
  await import('./worker-thread.ts');
} else {
  await import('../dist/worker-thread.js');
}
