/**
 * Which `millrace` the tests run: what the runner has built from the sources, as users have it, or, for a test file that is
 * run by itself, the sources. A process of the sources takes seconds of computing before it does anything.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** How the runner tells it to the processes of tests. */
const VARIABLE = 'TEST_LAUNCHER';

export const LAUNCHER = process.env[VARIABLE] ?? join(ROOT, 'cmd', 'millrace.mjs');

/** Builds the program in an empty folder, beside the dependencies of this tree, and has test processes run it. */
export function buildProgram(folder: string): void {
  mkdirSync(join(folder, 'cmd'), { recursive: true });
  execFileSync(process.execPath, ['--import', 'tsx', 'build.ts', join(folder, 'dist')], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  for (const file of readdirSync(join(ROOT, 'cmd')).filter(name => name.endsWith('.mjs'))) {
    cpSync(join(ROOT, 'cmd', file), join(folder, 'cmd', file));
  }
  for (const file of ['proto', 'package.json']) cpSync(join(ROOT, file), join(folder, file), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'dir');
  process.env[VARIABLE] = join(folder, 'cmd', 'millrace.mjs');
}
