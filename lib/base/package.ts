/**
 * The package itself: where its files lie and which version it is. Modules are found in different folders as sources and
 * when built, so whoever needs a file that is shipped beside them (`proto`, `package.json`) asks here.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The nearest folder above this module with a `package.json`. */
function folderOfPackage(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  return folder;
}

const FOLDER = folderOfPackage();

/** The absolute path of a file of the package, e.g. `proto/millrace/admin/v1/pipeline.proto`. */
export function packageFile(path: string): string {
  return join(FOLDER, path);
}

/** The version of this program, from its package. */
export const VERSION = (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version;
