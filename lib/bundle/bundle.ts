/**
 * Bundles: from the user's file to one self-contained module and its content hash. Everything the file imports is in it,
 * types are stripped; only `millrace` itself is left out and bound to the library of the worker that runs it (`load.ts`),
 * so that a pipeline's classes are the worker's own.
 *
 * The same sources give the same bytes wherever they lie: paths in the module and in its source map are relative to the
 * project, the nearest folder with a `package.json`. Authors' `.ts` files need no other tool than this one.
 */
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { BuildFailure, Message, Plugin } from 'esbuild';
import { MillraceError, messageOf } from '../base/errors.ts';
import { PROJECT_ROOT } from '../base/place.ts';
import { CARRIED, protoPlugin } from './proto-files.ts';

/** A pipeline as code: one ES module that brings everything but Millrace itself. */
export interface Bundle {
  /** UTF-8 text of the module. */
  readonly code: Uint8Array;
  /** SHA-256 of the code, 64 hex digits. */
  readonly hash: string;
  /** Name of the user's file, for messages. */
  readonly file: string;
}

/** Key on `globalThis` of the library that bundles are bound to. */
export const LIBRARY = 'millrace.library';

/** A bundle and the names its file could import; larger ones than this are refused (a stray data file, mostly). */
export const BUNDLE_BYTES_MAX = 32 * 1024 * 1024;

const EXAMPLE = "export default pipeline('name', ({ from }) => { … })";

/**
 * Bundles the pipeline in `file`.
 * Throws NOT_FOUND, or PLAN_INVALID with every mistake as `file:line:column: text`.
 */
export async function bundlePipeline(file: string): Promise<Bundle> {
  const path = resolve(file);
  if (!existsSync(path)) {
    throw new MillraceError('NOT_FOUND', `there is no file ${file}; give the path of a pipeline, e.g. src/pipeline.ts`);
  }
  if (!statSync(path).isFile()) {
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `${file} is not a file; give the path of a pipeline, e.g. src/pipeline.ts`,
    );
  }
  const root = projectRoot(path);
  const names = Object.keys(await import('../index.ts')).filter(name => name !== 'default');
  // Loaded here: a worker is handed bundles and never makes one.
  const { build } = await import('esbuild');
  let code: Uint8Array;
  try {
    const result = await build({
      entryPoints: [path],
      absWorkingDir: root,
      outfile: join(root, 'pipeline.mjs'),
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      sourcemap: 'inline',
      sourceRoot: PROJECT_ROOT,
      logLevel: 'silent',
      // Packages in CommonJS call `require`, which ES modules lack.
      banner: {
        js: "import { createRequire as $createRequire } from 'node:module'; const require = $createRequire(import.meta.url);",
      },
      plugins: [libraryPlugin(names), protoPlugin(root)],
    });
    code = result.outputFiles[0]!.contents;
  } catch (error) {
    throw isBuildFailure(error)
      ? new MillraceError('PLAN_INVALID', error.errors.map(message => explain(message, names)).join('\n'), {
          cause: error,
        })
      : new MillraceError('PLAN_INVALID', `${file} could not be bundled: ${messageOf(error)}`, { cause: error });
  }
  if (code.length > BUNDLE_BYTES_MAX) {
    const megabytes = Math.ceil(code.length / 1024 / 1024);
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `${file} and what it imports make a bundle of ${megabytes} MiB, the limit is ${BUNDLE_BYTES_MAX / 1024 / 1024}; import less`,
    );
  }
  return { code, hash: hashOf(code), file: relative(root, path) };
}

export function hashOf(code: Uint8Array): string {
  return createHash('sha256').update(code).digest('hex');
}

/** Stands in for `millrace`: each name is looked up in the library when the bundle is loaded; unused ones fall away. */
function libraryPlugin(names: readonly string[]): Plugin {
  const lookup = `const library = globalThis[Symbol.for(${JSON.stringify(LIBRARY)})];
const take = name => {
  if (library === undefined) throw new Error('a pipeline runs only in a Millrace worker; deploy it with: millrace deploy FILE');
  if (!(name in library)) throw new Error('this worker is of another version and has no "' + name + '"; upgrade it');
  return library[name];
};`;
  const exports = names.map(name => {
    const taken = `/* @__PURE__ */ take(${JSON.stringify(name)})`;
    return `export const ${name} = ${name === 'protobuf' ? `/* @__PURE__ */ carrying(${taken})` : taken};`;
  });
  return {
    name: 'millrace',
    setup(building) {
      building.onResolve({ filter: /^millrace$/ }, () => ({
        path: 'millrace',
        namespace: 'library',
        sideEffects: false,
      }));
      building.onResolve({ filter: /^millrace\// }, ({ path }) => ({
        errors: [{ text: `${path} is not for pipelines; import from 'millrace'` }],
      }));
      building.onLoad({ filter: /.*/, namespace: 'library' }, () => ({
        contents: `${lookup}\n${CARRIED}\n${exports.join('\n')}`,
      }));
    },
  };
}

/** The nearest folder upwards with a `package.json`; without one, the folder of the file. */
export function projectRoot(path: string): string {
  const start = dirname(path);
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder;
    if (folder === dirname(folder)) return start;
  }
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && Array.isArray((error as Partial<BuildFailure>).errors);
}

function explain(message: Message, names: readonly string[]): string {
  const { location } = message;
  const place = location === null ? '' : `${location.file}:${location.line}:${location.column + 1}: `;
  const missing = /^No matching export in "library:millrace" for import "(.*)"$/.exec(message.text);
  if (missing !== null) {
    const near = names.find(name => name.toLowerCase() === missing[1]!.toLowerCase());
    const hint = near === undefined ? `it has: ${names.join(', ')}` : `did you mean ${near}?`;
    return `${place}millrace exports no "${missing[1]}"; ${missing[1] === 'default' ? `write: import { pipeline } from 'millrace'` : hint}`;
  }
  const absent = /^Could not resolve "([^."/][^"]*)"$/.exec(message.text);
  if (absent !== null) return `${place}the package "${absent[1]}" is not installed; run: npm install ${absent[1]}`;
  const strange = /^No loader is configured for "(.*)" files: (.*)$/.exec(message.text);
  if (strange !== null) {
    return `${place}${strange[2]} is no code that can be bundled; give a pipeline in TypeScript or JavaScript, e.g. src/pipeline.ts`;
  }
  const source = location === null ? '' : `\n    ${location.lineText.trim()}`;
  return `${place}${message.text}${source}`;
}

/** What a default export that is no pipeline should have been. */
export function expectedExport(file: string, found: string): string {
  return `${basename(file)} ${found}; write: ${EXAMPLE}`;
}
