/**
 * The types of an author's file and of what it imports: checked by the project's own TypeScript, of whatever version, in a
 * process of its own. Bundling takes types away unread, and a pipeline with wrong ones runs.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { makeFolder } from '../lib/base/folder.ts';
import { projectRoot } from '../lib/bundle/bundle.ts';

export type Types =
  | { readonly kind: 'checked'; readonly errors: readonly string[] }
  /** The project has no TypeScript. */
  | { readonly kind: 'missing' }
  /** It is no TypeScript, or the compiler did not come to an end. */
  | { readonly kind: 'unchecked' };

/** What holds where there is no tsconfig.json: as `init` writes it. */
const STANDARD = {
  target: 'es2022',
  lib: ['es2023'],
  module: 'nodenext',
  moduleResolution: 'nodenext',
  strict: true,
};
const LIMIT_MS = 60_000;
const SHOWN_MAX = 10;

/** Never rejects: what cannot be checked is not. */
export async function checkTypes(path: string): Promise<Types> {
  const file = resolve(path);
  if (!/\.[cm]?tsx?$/.test(file)) return { kind: 'unchecked' };
  const compiler = compilerOf(file);
  if (compiler === null) return { kind: 'missing' };
  try {
    const config = writeConfig(file);
    const args = [compiler, '--project', config, '--pretty', 'false'];
    return await new Promise<Types>(done => {
      execFile(process.execPath, args, { timeout: LIMIT_MS, maxBuffer: 1 << 26 }, (error, out) => {
        const ended = error === null || typeof error.code === 'number';
        done(ended ? { kind: 'checked', errors: typeErrors(out) } : { kind: 'unchecked' });
      });
    });
  } catch {
    return { kind: 'unchecked' };
  }
}

/** Errors as `file:line:column: text`, of what the compiler wrote; those of packages are nobody's here. Pure. */
export function typeErrors(out: string): string[] {
  const errors: string[] = [];
  let isOurs = false;
  for (const line of out.split(/\r?\n/)) {
    const [, place, text] = /^(?:(\S.*\(\d+,\d+\)): )?error (TS\d+: .*)$/.exec(line) ?? [];
    if (text !== undefined) {
      isOurs = !(place ?? '').includes('node_modules/');
      if (isOurs) errors.push(place === undefined ? text : `${place.replace(/\((\d+),(\d+)\)$/, ':$1:$2')}: ${text}`);
    } else if (isOurs && /^\s+\S/.test(line)) {
      errors.push(`${errors.pop()}\n${line}`);
    }
  }
  return errors;
}

/** What to say of `now`, after `before` was said; null: nothing. Pure. */
export function typesText(before: Types | null, now: Types): string | null {
  if (now.kind === 'missing') {
    if (before?.kind === 'missing') return null;
    return 'types are not checked: the project has no TypeScript; to have them checked: npm install --save-dev typescript';
  }
  if (now.kind === 'unchecked') return null;
  const { errors } = now;
  if (errors.length === 0)
    return before?.kind === 'checked' && before.errors.length > 0 ? 'types are right again' : null;
  const more = errors.length > SHOWN_MAX ? [`  … and ${errors.length - SHOWN_MAX} more`] : [];
  const shown = errors.slice(0, SHOWN_MAX).map(error => `  ${error.replaceAll('\n', '\n  ')}`);
  return ['wrong types (which keep nothing from running):', ...shown, ...more].join('\n');
}

/** The path of the project's `tsc`; null: it has none. */
function compilerOf(file: string): string | null {
  try {
    const path = createRequire(file).resolve('typescript/package.json');
    const { bin } = JSON.parse(readFileSync(path, 'utf8')) as { bin: { tsc: string } };
    return join(dirname(path), bin.tsc);
  } catch {
    return null;
  }
}

/** A project of this one file, with the settings of the author's. Declarations that nobody imports count everywhere. */
function writeConfig(file: string): string {
  const root = projectRoot(file);
  const settings = settingsOf(file);
  const config = {
    ...(settings === null ? {} : { extends: settings }),
    compilerOptions: {
      ...(settings === null ? STANDARD : {}),
      noEmit: true,
      allowImportingTsExtensions: true,
      composite: false,
      incremental: false,
      skipLibCheck: true,
    },
    files: [file],
    include: [join(root, '**/*.d.ts')],
    exclude: ['**/node_modules', '**/dist', join(root, '.millrace')],
    references: [],
  };
  const path = join(root, '.millrace', 'tsconfig.json');
  makeFolder(dirname(path));
  writeFileSync(path, JSON.stringify(config, null, 2));
  return path;
}

/** The nearest tsconfig.json upwards; null: there is none. */
function settingsOf(file: string): string | null {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const path = join(folder, 'tsconfig.json');
    if (existsSync(path)) return path;
    if (folder === dirname(folder)) return null;
  }
}
