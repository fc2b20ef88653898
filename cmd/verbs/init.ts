/**
 * `init`: writes a new project that works at once. What it holds is in `../templates.ts`. Nothing that is there is changed.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { MillraceError, messageOf } from '../../lib/base/errors.ts';
import { makeFolder } from '../../lib/base/folder.ts';
import { packageFile, VERSION } from '../../lib/base/package.ts';
import { filesOf } from '../templates.ts';
import { type Around, makeCommand, type Options } from './common.ts';

export function initVerb(around: Around): Command {
  return makeCommand(
    'init',
    'Write a new project: a pipeline, a test of it, and what runs them. Nothing that is there is changed.',
    ['millrace init orders'],
    ['millrace init orders --js', 'JavaScript'],
  )
    .argument('[dir]', 'the folder of the project; made if missing', '.')
    .option('--js', 'JavaScript instead of TypeScript')
    .action((dir: string, options: Options) => {
      const folder = resolve(dir);
      const packed = packedLibrary();
      const files = filesOf({
        name: packageName(basename(folder)),
        language: options.js === true ? 'js' : 'ts',
        library: packed === null ? `^${VERSION}` : `file:${relative(folder, packed)}`,
      });
      const there = [...files.keys()].filter(path => existsSync(join(folder, path)));
      if (there.length > 0) {
        const text = `${there.join(', ')} ${there.length === 1 ? 'is' : 'are'} in ${dir} already, and nothing is overwritten; give another folder`;
        throw new MillraceError('INVALID_ARGUMENT', text);
      }
      const { terminal } = around;
      for (const [path, text] of files) {
        write(join(folder, path), text);
        terminal.out(`wrote ${join(dir, path)}\n`);
      }
      const pack = packed === null || existsSync(packed) ? '' : `(cd ${dirname(packed)} && npm pack)\n  `;
      const enter = folder === process.cwd() ? '' : `cd ${dir} && `;
      terminal.out(`\nnext:\n  ${pack}${enter}npm install\n  npm test\n  npm run dev\n`);
    });
}

/** In a clone of the sources: what `npm pack` makes there. Null: the library is installed as packages are. */
function packedLibrary(): string | null {
  return existsSync(packageFile('lib/index.ts')) ? packageFile(`millrace-${VERSION}.tgz`) : null;
}

/** Throws INVALID_ARGUMENT: it cannot be written, or has come into being meanwhile. */
function write(path: string, text: string): void {
  try {
    makeFolder(dirname(path));
    writeFileSync(path, text, { flag: 'wx' });
  } catch (error) {
    throw new MillraceError('INVALID_ARGUMENT', `${path} cannot be written: ${messageOf(error)}; give another folder`, {
      cause: error,
    });
  }
}

/** As npm allows it. */
function packageName(folder: string): string {
  const name = folder
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[._-]+/, '');
  return name === '' || name === 'millrace' ? 'my-pipeline' : name;
}
