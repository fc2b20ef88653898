#!/usr/bin/env node
// The launcher: runs the sources where they lie beside it (the repository), and what was built from them otherwise (the
// package). So a build that is left over in the repository is never run.
import { existsSync } from 'node:fs';
import module from 'node:module';

if (existsSync(new URL('./millrace.ts', import.meta.url))) {
  const { register } = await import('tsx/esm/api');
  register();
  await import('./millrace.ts');
} else {
  module.enableCompileCache?.();
  await import('../dist/millrace.js');
}
