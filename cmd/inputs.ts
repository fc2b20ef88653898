/**
 * What a pipeline is made of on this disk: its file and what that imports. Told apart by time and size, so a save is seen
 * whatever wrote it; polled, for watching by the system misses editors that replace files, and network disks.
 */
import { readdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Bundle } from '../lib/bundle/bundle.ts';
import { projectRoot } from '../lib/bundle/bundle.ts';

const SOURCE = /\.(ts|tsx|mts|cts|js|jsx|mjs|cjs|json|proto)$/;
/** A folder with more files than this is not looked through. */
const FILES_MAX = 2_000;

/** The files that a bundle was made from, by its source map, packages left out; always with the file itself. */
export function inputsOf(bundle: Bundle, file: string): string[] {
  const text = Buffer.from(bundle.code.buffer, bundle.code.byteOffset, bundle.code.byteLength).toString();
  const map = /\/\/# sourceMappingURL=data:application\/json;base64,([A-Za-z0-9+/=]+)\s*$/.exec(text);
  const own = resolve(file);
  if (map === null) return [own];
  const { sources } = JSON.parse(Buffer.from(map[1]!, 'base64').toString()) as { sources: readonly string[] };
  const root = projectRoot(own);
  const files = sources
    .map(source => source.replace(/^pipeline:\/+/, ''))
    .filter(source => !source.includes('node_modules/') && !/^[a-z]+:/i.test(source))
    .map(source => resolve(root, source));
  return [...new Set([own, ...files])];
}

/** While a file cannot be bundled nobody knows what it imports: all sources below its folder. */
export function nearbyInputs(file: string): string[] {
  const own = resolve(file);
  const found = new Set([own]);
  const look = (folder: string) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (found.size >= FILES_MAX) return;
      if (entry.name.startsWith('.') || entry.name === 'node_modules' || entry.name === 'dist') continue;
      if (entry.isDirectory()) look(join(folder, entry.name));
      else if (SOURCE.test(entry.name)) found.add(join(folder, entry.name));
    }
  };
  look(dirname(own));
  return [...found];
}

/** Differs after any of the files was saved, made or removed. */
export function stampOf(files: readonly string[]): string {
  return files
    .map(file => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? `${file}:gone` : `${file}:${stat.mtimeMs}:${stat.size}`;
    })
    .join('\n');
}
