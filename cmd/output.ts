/**
 * What commands print: tables for people, JSON and YAML for programs, names for scripts; and numbers and times as people
 * read them. What there is to show of each kind of thing is in `resources.ts`.
 */
import { spanText as span } from '../lib/base/duration.ts';
import { printableLine } from '../lib/base/printable.ts';
import { END_MS, TIME_MAX_MS } from '../lib/window/watermark.ts';
import type { Paint, Terminal } from './terminal.ts';
import { yaml } from './yaml.ts';

export { span };

export const FORMATS = ['table', 'wide', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof FORMATS)[number];

export interface Column<T> {
  readonly head: string;
  /** Numbers stand to the right. */
  readonly right?: true;
  /** Only with `-o wide`. */
  readonly wide?: true;
  cell(row: T): string;
  paint?(row: T): Paint | null;
}

/** A kind of thing that can be listed. */
export interface Resource<T> {
  /** Singular, as in `pipeline/orders`. */
  readonly kind: string;
  readonly columns: readonly Column<T>[];
  name(row: T): string;
  /** For programs: names and meanings as in `proto/`. */
  json(row: T): unknown;
  /** What people are shown below one of them that they asked for by its name; absent or empty: nothing. */
  more?(row: T, terminal: Terminal): string;
  /** What to say when there are none, and what to do about it. */
  readonly none: string;
}

export interface Format {
  readonly output: OutputFormat;
  readonly headers: boolean;
}

/** `value` for programs, or `text` for people. */
export function print(terminal: Terminal, output: OutputFormat, value: unknown, text: () => string): void {
  terminal.out(output === 'json' || output === 'yaml' ? forProgram(output, value) : `${text()}\n`);
}

export function forProgram(output: 'json' | 'yaml', value: unknown): string {
  return output === 'json' ? `${JSON.stringify(value, null, 2)}\n` : yaml().stringify(value, { lineWidth: 0 });
}

/** A list; for programs an array. */
export function printList<T>(terminal: Terminal, resource: Resource<T>, rows: readonly T[], format: Format): void {
  const { output } = format;
  if (output === 'json' || output === 'yaml') terminal.out(forProgram(output, rows.map(resource.json)));
  else if (rows.length === 0) terminal.err(output === 'name' ? '' : `${resource.none}\n`);
  else terminal.out(`${listText(terminal, resource, rows, format)}\n`);
}

/** One thing; for programs an object. */
export function printOne<T>(terminal: Terminal, resource: Resource<T>, row: T, format: Format): void {
  const { output } = format;
  if (output === 'json' || output === 'yaml') terminal.out(forProgram(output, resource.json(row)));
  else terminal.out(`${oneText(terminal, resource, row, format)}\n`);
}

export function oneText<T>(terminal: Terminal, resource: Resource<T>, row: T, format: Format): string {
  const text = listText(terminal, resource, [row], format);
  const more = format.output === 'name' ? '' : (resource.more?.(row, terminal) ?? '');
  return more === '' ? text : `${text}\n\n${more}`;
}

export function listText<T>(terminal: Terminal, resource: Resource<T>, rows: readonly T[], format: Format): string {
  if (format.output === 'name') return rows.map(row => `${resource.kind}/${resource.name(row)}`).join('\n');
  return table(
    resource.columns.filter(column => format.output === 'wide' || column.wide !== true),
    rows,
    { headers: format.headers, terminal },
  );
}

/** Aligned columns, without trailing space. */
export function table<T>(
  columns: readonly Column<T>[],
  rows: readonly T[],
  options: { headers?: boolean; terminal?: Terminal } = {},
): string {
  const cells = rows.map(row => columns.map(column => printableLine(column.cell(row))));
  const heads = columns.map(column => column.head);
  const lines = options.headers === false ? cells : [heads, ...cells];
  const widths = columns.map((_, at) => Math.max(0, ...lines.map(line => line[at]!.length)));
  const fit = (cell: string, at: number) =>
    columns[at]!.right === true ? cell.padStart(widths[at]!) : cell.padEnd(at === columns.length - 1 ? 0 : widths[at]!);
  const painted = (cell: string, at: number, row: T | null) => {
    if (options.terminal === undefined) return cell;
    return options.terminal.paint(row === null ? 'bold' : (columns[at]!.paint?.(row) ?? null), cell);
  };
  return lines
    .map((line, index) => {
      const row = options.headers === false ? rows[index]! : index === 0 ? null : rows[index - 1]!;
      return line
        .map((cell, at) => painted(fit(cell, at), at, row))
        .join('  ')
        .trimEnd();
    })
    .join('\n');
}

/** Titles and facts below each other; those that are empty are left out. */
export function facts(pairs: readonly (readonly [title: string, fact: string])[]): string {
  const shown = pairs.filter(([, fact]) => fact !== '');
  const width = Math.max(0, ...shown.map(([title]) => title.length)) + 2;
  return shown.map(([title, fact]) => `${`${title}:`.padEnd(width)}${fact}`).join('\n');
}

/** `1234567` → `1,234,567` */
export function count(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 0 });
}

export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let rest = value;
  for (; rest >= 1024 && unit < units.length - 1; unit++) rest /= 1024;
  return `${unit === 0 ? rest : rest.toFixed(1)} ${units[unit]}`;
}

/** How long ago, ms since 1970; `–` for never. */
export function ago(timeMs: number | null): string {
  return timeMs === null || timeMs === 0 ? '–' : span(Date.now() - timeMs);
}

/** Event time as people read it; `–` when there is none. */
export function time(timeMs: number | null): string {
  if (timeMs === null || Math.abs(timeMs) > TIME_MAX_MS) return '–';
  if (timeMs === END_MS) return 'the end';
  return new Date(timeMs).toISOString().replace('.000Z', 'Z');
}

export function optional(value: number | null, show: (value: number) => string): string {
  return value === null ? '–' : show(value);
}
