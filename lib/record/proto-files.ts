/**
 * Definitions of Protocol Buffers: the texts that a `.proto` file is made of, and what they define together. Owns where
 * imports are looked for, and Google's own definitions, which every text may import.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import type protobufjs from 'protobufjs';

const require = createRequire(import.meta.url);

/** Google's that the library does not know by itself, but brings. */
const BROUGHT = /^google\/protobuf\/(api|descriptor|source_context|type)\.proto$/;

// Loaded when it is asked for: most pipelines do without, and every worker would start later by a tenth.
function library(): typeof protobufjs {
  return require('protobufjs') as typeof protobufjs;
}

/**
 * The texts of a file and of all that it imports, but for Google's, each once. An import is looked for beside the file
 * that names it, then in the folders above: the roots that definitions are written for are nowhere said.
 * Throws what reading and parsing throw.
 */
export function protoTexts(file: string): string[] {
  const texts = new Map<string, string>();
  const read = (path: string) => {
    if (texts.has(path)) return;
    const text = readFileSync(path, 'utf8');
    texts.set(path, text);
    for (const name of importsOf(text)) if (!isGoogles(name)) read(found(name, path));
  };
  read(resolve(file));
  return [...texts.values()];
}

/** What the texts define together. Throws what parsing throws. */
export function protoRoot(texts: readonly string[]): protobufjs.Root {
  const { common, parse, Root } = library();
  const root = new Root();
  const added = new Set<string>();
  const add = (text: string) => {
    parse(text, root);
    for (const name of importsOf(text)) {
      if (added.has(name) || !isGoogles(name)) continue;
      added.add(name);
      if (BROUGHT.test(name)) add(readFileSync(require.resolve(`protobufjs/${name}`), 'utf8'));
      else root.addJSON(common.get(name)?.nested ?? {});
    }
  };
  texts.forEach(add);
  return root;
}

function importsOf(text: string): readonly string[] {
  const { parse, Root } = library();
  const { imports, weakImports } = parse(text, new Root());
  return [...(imports ?? []), ...(weakImports ?? [])];
}

function isGoogles(name: string): boolean {
  return BROUGHT.test(name) || Object.hasOwn(library().common, name);
}

function found(name: string, by: string): string {
  for (let folder = dirname(by); ; folder = dirname(folder)) {
    const path = join(folder, name);
    if (existsSync(path)) return path;
    if (folder === dirname(folder)) throw new Error(`${by} imports ${name}, which is neither beside it nor above`);
  }
}
