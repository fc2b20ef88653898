/**
 * The program under test, as users get it: the package that `npm pack` makes (built JavaScript, no TypeScript loader),
 * unpacked in a temporary folder beside the dependencies that this repository has installed.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Closing } from '../rig/closing.ts';

const execute = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Builds, packs and unpacks. Resolves with the path of the launcher. Throws with npm's words when it cannot be built. */
export async function packProduct(closing: Closing): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-product-'));
  closing.add(() => rm(folder, { recursive: true, force: true }));
  const { stdout } = await execute('npm', ['pack', '--json', '--pack-destination', folder], { cwd: ROOT });
  // The build may say something first.
  const [made] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [{ filename: string }];
  await execute('tar', ['-xzf', join(folder, made.filename), '-C', folder]);
  await symlink(join(ROOT, 'node_modules'), join(folder, 'package', 'node_modules'), 'dir');
  return join(folder, 'package', 'cmd', 'millrace.mjs');
}
