/**
 * The program under test, as users get it: the package that `npm pack` makes (built JavaScript, no TypeScript loader),
 * unpacked in a temporary folder beside the dependencies that this repository has installed.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Closing } from '../rig/closing.ts';

const execute = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Builds, packs and unpacks. Resolves with the path of the launcher. Throws with npm's words when it cannot be built. */
export async function packProduct(closing: Closing): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-product-'));
  closing.add(() => rm(folder, { recursive: true, force: true }));
  const packing = pack(folder);
  // A build that is interrupted half-way would leave its parts behind.
  closing.add(() => packing.catch(() => 'told to whoever waits for the product'));
  const archive = join(folder, await packing);
  if (closing.interrupted) throw new Error('interrupted');
  await execute('tar', ['-xzf', archive, '-C', folder]);
  await symlink(join(ROOT, 'node_modules'), join(folder, 'package', 'node_modules'), 'dir');
  return join(folder, 'package', 'cmd', 'millrace.mjs');
}

/** Resolves with the name of the archive. In a process group of its own, so that Ctrl-C does not end it half-way. */
async function pack(folder: string): Promise<string> {
  const child = spawn('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: ROOT,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  if (code !== 0) throw new Error(`millrace cannot be built and packed: ${err.trim()}`);
  // The build may say something first.
  const [made] = JSON.parse(out.slice(out.indexOf('[\n'))) as [{ filename: string }];
  return made.filename;
}
