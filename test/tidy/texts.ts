/**
 * The tree as texts: which files the project consists of, and what is in its READMEs (code blocks, links, headings).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Folders of the project; what else lies in the tree is somebody's own. */
const FOLDERS = ['.ci', 'cmd', 'deploy', 'lib', 'proto', 'test'];
const ROOT_FILES = /^[A-Za-z]\S*\.(md|json|ts)$|^LICENSE$|^\.gitignore$/;

/** The section of the front page whose commands are a file of tests of their own: they take as long as all others. */
export const PRODUCTION = 'In production';

export function textOf(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

/** All files of the project, by their paths from the root, sorted. */
export function projectFiles(): string[] {
  const top = readdirSync(root, { withFileTypes: true });
  const files = top.filter(entry => entry.isFile() && ROOT_FILES.test(entry.name)).map(entry => entry.name);
  for (const folder of FOLDERS) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) files.push(join(entry.parentPath, entry.name).slice(root.length));
    }
  }
  return files.filter(file => !file.includes('.millrace/')).sort();
}

export function readmes(): string[] {
  return projectFiles().filter(file => file.endsWith('README.md'));
}

export interface Block {
  readonly language: string;
  readonly text: string;
  /** Where its content begins, from 1. */
  readonly line: number;
  /** The last one above it, without its `#`; '' for none. */
  readonly heading: string;
}

/** Fenced blocks, in order. */
export function blocksOf(file: string): Block[] {
  const blocks: Block[] = [];
  let open: { language: string; line: number; lines: string[] } | null = null;
  let heading = '';
  textOf(file)
    .split('\n')
    .forEach((line, i) => {
      const fence = /^\s*```(\w*)/.exec(line);
      if (fence === null) {
        if (open === null && line.startsWith('#')) heading = line.replace(/^#+ /, '');
        open?.lines.push(line);
      } else if (open === null) open = { language: fence[1] ?? '', line: i + 2, lines: [] };
      else {
        blocks.push({ language: open.language, line: open.line, text: `${open.lines.join('\n')}\n`, heading });
        open = null;
      }
    });
  return blocks;
}

/** The commands of a file's `sh` blocks, one by one: what `&&` joins is taken apart. */
export function commandsOf(file: string): string[] {
  return commandBlocksOf(file).flatMap(({ commands }) => commands);
}

export interface CommandBlock {
  readonly heading: string;
  readonly commands: readonly string[];
}

/** The same, block by block: each begins in the folder of the clone. */
export function commandBlocksOf(file: string): CommandBlock[] {
  return blocksOf(file)
    .filter(({ language }) => ['sh', 'bash', 'shell', 'console'].includes(language))
    .map(({ text, heading }) => ({
      heading,
      commands: text
        .replaceAll('\\\n', ' ')
        .split('\n')
        .filter(line => line.trim() !== '' && !line.startsWith('#'))
        .flatMap(line => line.split(' && ').map(command => command.trim())),
    }));
}

export interface Link {
  /** From the root. */
  readonly path: string;
  /** Without its `#`; '' for none. */
  readonly anchor: string;
}

/** Links to files of the tree. */
export function linksOf(file: string): Link[] {
  const prose = textOf(file).replace(/^```[\s\S]*?^```/gm, '');
  return Array.from(prose.matchAll(/\]\(([^)\s]+)\)/g), match => match[1] ?? '')
    .filter(target => !/^[a-z]+:/.test(target))
    .map(target => {
      const [path = '', anchor = ''] = target.split('#');
      return { path: path === '' ? file : normalize(join(dirname(file), path)), anchor };
    });
}

/** What links can point to in a file. */
export function anchorsOf(file: string): string[] {
  return Array.from(textOf(file).matchAll(/^#+ (.+)$/gm), match =>
    (match[1] ?? '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** The cells of the first table in `text` whose head begins with these cells; without the head. */
export function tableRows(text: string, ...heads: readonly string[]): string[][] {
  const lines = text.split('\n').map(line =>
    line.startsWith('|')
      ? line
          .split('|')
          .slice(1, -1)
          .map(cell => cell.trim())
      : null,
  );
  const at = lines.findIndex(cells => cells !== null && heads.every((head, i) => cells[i] === head));
  const rows: string[][] = [];
  for (const cells of at < 0 ? [] : lines.slice(at + 2)) {
    if (cells === null) break;
    rows.push(cells);
  }
  return rows;
}
