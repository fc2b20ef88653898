/**
 * What commands print: tables for people, JSON and YAML for programs, and numbers and times as people read them.
 */
import { stringify } from 'yaml';
import type { PipelineInfo } from '../lib/control/client.ts';

export type OutputFormat = 'table' | 'json' | 'yaml';

/** `value` for programs, or `text` for people. */
export function print(format: OutputFormat, value: unknown, text: () => string): void {
  if (format === 'json') process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  else if (format === 'yaml') process.stdout.write(stringify(value));
  else process.stdout.write(`${text()}\n`);
}

/** Aligned columns; those whose head starts with `>` are right-aligned. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const right = heads.map(head => head.startsWith('>'));
  const lines = [heads.map(head => head.replace(/^>/, '')), ...rows];
  const widths = heads.map((_, column) => Math.max(...lines.map(line => line[column]?.length ?? 0)));
  return lines
    .map(line =>
      line
        .map((cell, column) => (right[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
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

/** `90_000` → `1m30s`; at most two units. */
export function span(durationMs: number): string {
  const seconds = Math.max(0, Math.floor(durationMs / 1_000));
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return '0s';
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount}${unit}`)
    .join('');
}

/** Event time as people read it; `–` when there is none. */
export function time(timeMs: number | null): string {
  if (timeMs === null || Math.abs(timeMs) > 8.64e15) return '–';
  return new Date(timeMs).toISOString().replace('.000Z', 'Z');
}

/** What all readers together have left to read; null: not known. */
export function lagOf(pipeline: PipelineInfo): number | null {
  const lags = pipeline.status.readers.map(reader => reader.lag);
  if (lags.length === 0 || lags.some(lag => lag === null)) return null;
  return lags.reduce<number>((sum, lag) => sum + (lag ?? 0), 0);
}

/** The smallest watermark of readers that are not idle, or of all if all are; null before the first record. */
export function watermarkOf(pipeline: PipelineInfo): number | null {
  const { readers, tasks } = pipeline.status;
  const awake = readers.filter(reader => !reader.idle);
  const parts: readonly { readonly watermarkMs: number | null }[] =
    readers.length === 0 ? tasks : awake.length > 0 ? awake : readers;
  let least: number | null = null;
  for (const { watermarkMs } of parts) {
    if (watermarkMs === null) return null;
    least = least === null ? watermarkMs : Math.min(least, watermarkMs);
  }
  return least;
}

export function optional(value: number | null, show: (value: number) => string): string {
  return value === null ? '–' : show(value);
}
