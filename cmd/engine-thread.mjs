// The launcher of the engine's thread, as `millrace.mjs` is that of the command.
import { existsSync } from 'node:fs';

if (existsSync(new URL('./engine-thread.ts', import.meta.url))) {
  const { register } = await import('tsx/esm/api');
  register();
  await import('./engine-thread.ts');
} else {
  await import('../dist/engine-thread.js');
}
