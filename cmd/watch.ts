/**
 * `--watch`: a list that is read again and again. At a terminal it is drawn anew in place; elsewhere each line that has
 * changed is appended, for programs as one JSON document a line. A worker that is away for a while ends nothing.
 */
import { stripVTControlCharacters } from 'node:util';
import { sleep, systemClock } from '../lib/base/clock.ts';
import { isMillraceError, messageOf } from '../lib/base/errors.ts';
import { endingOf } from './exit.ts';
import { type Format, listText, oneText, type Resource } from './output.ts';
import { COMMAND, shownText, type Terminal } from './terminal.ts';

/** Columns that change all the time and say nothing new. */
const RESTLESS = ['AGE', 'SEEN'];

export interface WatchOptions<T> {
  readonly terminal: Terminal;
  readonly resource: Resource<T>;
  readonly format: Format;
  readonly intervalMs: number;
  /** It is one thing that was asked for by its name. */
  readonly one: boolean;
  read(): Promise<readonly T[]>;
}

/** Ends only by throwing, or with the process. */
export async function watchList<T>(options: WatchOptions<T>): Promise<never> {
  const show = options.terminal.live && options.format.output !== 'json' ? redrawer(options) : appender(options);
  show(await options.read(), null);
  let last: readonly T[] = [];
  while (true) {
    await sleep(systemClock, options.intervalMs);
    try {
      last = await options.read();
      show(last, null);
    } catch (error) {
      if (!isMillraceError(error) || endingOf(error.code) !== 'unreachable') throw error;
      show(last, messageOf(error));
    }
  }
}

type Show<T> = (rows: readonly T[], trouble: string | null) => void;

function redrawer<T>({ terminal, resource, format, one }: WatchOptions<T>): Show<T> {
  let drawn = 0;
  return (rows, trouble) => {
    const shown = () =>
      one ? oneText(terminal, resource, rows[0]!, format) : listText(terminal, resource, rows, format);
    const text = rows.length === 0 ? resource.none : shown();
    const lines = [...text.split('\n'), ...(trouble === null ? [] : [terminal.paint('warn', trouble)])];
    // What has left the screen cannot be drawn over.
    const fitting: string[] = [];
    let rowsTaken = 0;
    for (const line of lines) {
      const taken = Math.max(1, Math.ceil(stripVTControlCharacters(shownText(line)).length / terminal.columns));
      if (rowsTaken + taken > Math.max(1, terminal.rows - 1)) break;
      rowsTaken += taken;
      fitting.push(line);
    }
    terminal.out(`${drawn === 0 ? '' : `${COMMAND}${drawn}A${COMMAND}J`}${fitting.join('\n')}\n`);
    drawn = Math.max(1, rowsTaken);
  };
}

function appender<T>({ terminal, resource, format }: WatchOptions<T>): Show<T> {
  const known = new Map<string, string>();
  let begun = false;
  let said: string | null = null;
  const essence = (row: T) =>
    resource.columns
      .filter(column => !RESTLESS.includes(column.head))
      .map(column => column.cell(row))
      .join('\t');
  return (rows, trouble) => {
    if (trouble !== null && trouble !== said) terminal.err(`${trouble.split('\n')[0]}\n`);
    said = trouble;
    const changed = rows.filter(row => known.get(resource.name(row)) !== essence(row));
    for (const row of changed) known.set(resource.name(row), essence(row));
    if (changed.length === 0) return;
    if (format.output === 'json' || format.output === 'yaml') {
      for (const row of changed) terminal.out(`${JSON.stringify(resource.json(row))}\n`);
    } else {
      terminal.out(`${listText(terminal, resource, changed, { ...format, headers: format.headers && !begun })}\n`);
    }
    begun = true;
  };
}
