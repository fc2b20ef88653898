/**
 * Loading: from a bundle's bytes to the pipeline in it. The module is written under its content hash, imported, and removed;
 * what it takes from `millrace` is bound to this process's library.
 *
 * Errors name the user's file and line: the bundle carries a source map, by which the runtime maps stack traces. It has read
 * both by then, so nobody needs the file any more.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { threadId } from 'node:worker_threads';
import { MillraceError, messageOf } from '../base/errors.ts';
import { makeFolder } from '../base/folder.ts';
import { placeOf } from '../base/place.ts';
import { type Bundle, expectedExport, hashOf, LIBRARY } from './bundle.ts';

/**
 * Loads the bundle's default export, if `isPipeline` takes it for one.
 * @param dir folder for bundles that are being loaded; what a thread leaves there that is ended meanwhile is its owner's to remove.
 * Throws PLAN_INVALID, or INVALID_ARGUMENT when the code is not what its hash says.
 */
export async function loadBundle<P>(
  bundle: Bundle,
  options: { dir: string; isPipeline: (value: unknown) => value is P },
): Promise<P> {
  const { code, hash, file } = bundle;
  if (hashOf(code) !== hash) {
    throw new MillraceError('INVALID_ARGUMENT', `the bundle of ${file} does not match its hash; send it again`);
  }
  await bindLibrary();
  process.setSourceMapsEnabled(true);
  const dir = resolve(options.dir);
  // Others may load the same bundle at the same time. Within a thread a module is loaded once, by its path.
  const path = join(dir, `${hash}.${process.pid}.${threadId}.mjs`);
  makeFolder(dir);
  // In one turn, so that nobody reads half of it, and who is about to remove it removes nothing that is still to be read.
  if (!existsSync(path)) writeFileSync(path, code);
  const loading = import(pathToFileURL(path).href) as Promise<{ default?: unknown }>;
  let module: { default?: unknown };
  try {
    module = await loading;
  } catch (error) {
    const place = placeOf(error);
    const text = place === null ? `${file} failed` : `${place}: failed`;
    throw new MillraceError('PLAN_INVALID', `${text} while it was loaded: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    await rm(path, { force: true });
  }
  if (!('default' in module)) {
    throw new MillraceError('PLAN_INVALID', expectedExport(file, 'has no default export'));
  }
  const value = module.default;
  if (value instanceof Promise) {
    throw new MillraceError('PLAN_INVALID', expectedExport(file, 'exports a promise, not a pipeline'));
  }
  if (!options.isPipeline(value)) {
    const found = `exports ${value === null ? 'null' : Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`}`;
    throw new MillraceError('PLAN_INVALID', expectedExport(file, `${found}, not a pipeline`));
  }
  return value;
}

/**
 * Loads what bundles import from `millrace`. Loading a bundle does it by itself; who counts the author's time does it before.
 */
export async function bindLibrary(): Promise<void> {
  const key = Symbol.for(LIBRARY);
  const shared = globalThis as unknown as Record<symbol, unknown>;
  shared[key] ??= await import('../index.ts');
}
