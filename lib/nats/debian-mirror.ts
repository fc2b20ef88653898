/**
 * The machine's own Debian mirror, read from apt's settings in either of their two forms: lines in `sources.list`, and
 * paragraphs (deb822) in `*.sources`. Owns only the reading; what is done with it is `fetch-server.ts`'s.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MillraceError } from '../base/errors.ts';

export interface Mirror {
  readonly uri: string;
  /** As a one-line entry takes them, e.g. `[signed-by=…] `, with a blank at the end; may be empty. */
  readonly options: string;
}

/** Throws SERVER_NOT_FOUND where there is none. */
export async function debianMirror(aptFolder = '/etc/apt'): Promise<Mirror> {
  const files = [join(aptFolder, 'sources.list')];
  const parts = join(aptFolder, 'sources.list.d');
  for (const name of (await readdir(parts).catch(() => [] as string[])).sort()) files.push(join(parts, name));
  const mirrors: Mirror[] = [];
  // What is not there, or not ours to read, names no mirror.
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => '');
    if (file.endsWith('.list')) mirrors.push(...mirrorsOfLines(text));
    if (file.endsWith('.sources')) mirrors.push(...mirrorsOfParagraphs(text));
  }
  // A mirror of Debian itself, not of its security updates, nor of anybody else's packages.
  const found = mirrors.find(({ uri }) => /\/debian\/?$/.test(uri));
  if (found === undefined) {
    throw new MillraceError('SERVER_NOT_FOUND', `${aptFolder} names no mirror of Debian (…/debian)`);
  }
  return found;
}

export function mirrorsOfLines(text: string): Mirror[] {
  const mirrors: Mirror[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+\S+\s+(.*)$/.exec(line.replace(/#.*/, ''));
    if (match?.[2] === undefined || !hasMain(match[3] ?? '')) continue;
    mirrors.push({ uri: match[2], options: match[1] === undefined ? '' : `[${match[1].trim()}] ` });
  }
  return mirrors;
}

export function mirrorsOfParagraphs(text: string): Mirror[] {
  const mirrors: Mirror[] = [];
  const uncommented = text.replace(/^#.*\n?/gm, '');
  for (const paragraph of uncommented.split(/\n\s*\n/)) {
    const fields = fieldsOf(paragraph);
    const uri = fields.get('uris')?.split(/\s+/)[0];
    if (uri === undefined || !hasMain(fields.get('components') ?? '')) continue;
    if (!/\bdeb\b/.test(fields.get('types') ?? '') || /^no$/i.test(fields.get('enabled') ?? 'yes')) continue;
    const signedBy = fields.get('signed-by');
    // A key written out in place has no one-line form; the system's own keys then have to do.
    mirrors.push({ uri, options: signedBy?.startsWith('/') ? `[signed-by=${signedBy.split(/\s+/).join(',')}] ` : '' });
  }
  return mirrors;
}

/** Names in lower case; lines that begin with a blank continue the one before. */
function fieldsOf(paragraph: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of paragraph.replace(/\n[ \t]+/g, ' ').split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return fields;
}

function hasMain(components: string): boolean {
  return components.split(/\s+/).includes('main');
}
