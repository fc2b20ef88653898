// The launcher of the thread that plans a bundle, as `millrace.mjs` is that of the command.
import { existsSync } from 'node:fs';

if (existsSync(new URL('./plan-thread.ts', import.meta.url))) {
  const { register } = await import('tsx/esm/api');
  register();
  await import('./plan-thread.ts');
} else {
  await import('../dist/plan-thread.js');
}
