/**
 * Definitions of Protocol Buffers in bundles. A pipeline that names a `.proto` file by a text in quotes finds it on its
 * author's disk, and nowhere else: so its texts, and those of all that it imports, become modules of the bundle, which tell
 * the bundle's own `protobuf` of them before the code runs that names the file.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, extname, resolve } from 'node:path';
import type { Loader, Plugin } from 'esbuild';
import { messageOf } from '../base/errors.ts';
import { protoTexts } from '../record/proto-files.ts';

const SOURCE = /\.(ts|tsx|mts|js|jsx|mjs)$/;
const LOADERS: Readonly<Record<string, Loader>> = {
  '.ts': 'ts',
  '.mts': 'ts',
  '.tsx': 'tsx',
  '.js': 'js',
  '.mjs': 'js',
  '.jsx': 'jsx',
};
const QUOTED = /(['"`])([^'"`\n\\$]+\.proto)\1/g;
const PREFIX = 'millrace-proto:';

/** What is in a bundle beside its imports from `millrace`; `protobuf` is of the library, and knows the files then. */
export const CARRIED = `const carried = new Map();
export const $carry = (file, texts) => carried.set(file, texts);
const carrying = make => options => {
  const texts = carried.get(options?.file);
  return make(texts === undefined ? options : { type: options.type, proto: texts });
};`;

/** @param root the project's folder: where files are looked for, as `protobuf` does on a disk; then beside the source. */
export function protoPlugin(root: string): Plugin {
  return {
    name: 'millrace-proto',
    setup(building) {
      building.onLoad({ filter: SOURCE, namespace: 'file' }, ({ path }) => {
        if (/[\\/]node_modules[\\/]/.test(path)) return undefined;
        const code = readFileSync(path, 'utf8');
        const names = new Set(Array.from(code.matchAll(QUOTED), match => match[2]!));
        const imports = [...names]
          .filter(name => pathOf(name, path) !== null)
          .map(name => `import '${PREFIX}${name}';`);
        if (imports.length === 0) return undefined;
        // At the end, so that every line keeps its number; imports are run first wherever they stand.
        return { contents: `${code}\n${imports.join(' ')}\n`, loader: LOADERS[extname(path)]! };
      });
      building.onResolve({ filter: new RegExp(`^${PREFIX}`) }, ({ path, importer }) => {
        const name = path.slice(PREFIX.length);
        // One file may be named in two ways.
        return { path: pathOf(name, importer)!, suffix: `?${name}`, pluginData: name, sideEffects: true };
      });
      building.onLoad({ filter: /\.proto$/, namespace: 'file' }, ({ path, pluginData }) => {
        try {
          const texts = JSON.stringify(protoTexts(path));
          return {
            contents: `import { $carry } from 'millrace';\n$carry(${JSON.stringify(pluginData)}, ${texts});`,
            loader: 'js',
            resolveDir: dirname(path),
          };
        } catch (error) {
          return { errors: [{ text: messageOf(error), location: { file: path } }] };
        }
      });
    },
  };

  function pathOf(name: string, importer: string): string | null {
    return [resolve(root, name), resolve(dirname(importer), name)].find(path => existsSync(path)) ?? null;
  }
}
