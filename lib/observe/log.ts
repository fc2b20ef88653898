/**
 * Logs: one line an event. JSON through pino for machines, aligned text for a person at a terminal; the same events, the
 * same fields.
 */
import { pino } from 'pino';
import { spanText } from '../base/duration.ts';
import { printable } from '../base/printable.ts';
import type { Event, Field, Level, Observer } from './events.ts';

export interface LogOptions {
  /** Events below it are left out. */
  readonly level: Level;
  /** Takes whole lines, newline included. */
  write(line: string): void;
}

const RANKS: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** `{"level":"info","time":"2026-01-31T12:00:00.000Z","event":"task.restored",…}` */
export function jsonLog(options: LogOptions): Observer {
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
      // The text of an error is a field of its event; nothing is logged but events.
      messageKey: 'text',
    },
    { write: line => options.write(printable(line)) },
  );
  return {
    emit({ level, ...fields }) {
      logger[level](fields);
    },
  };
}

/** `12:00:00.000 info  task.restored  pipeline=orders stage=by-order` */
export function textLog(options: LogOptions & { now(): number }): Observer {
  const least = RANKS[options.level];
  return {
    emit(event) {
      if (RANKS[event.level] >= least) options.write(`${printable(textLine(event, options.now()))}\n`);
    },
  };
}

export function textLine(event: Event, nowMs: number): string {
  const time = new Date(nowMs).toISOString().slice(11, 23);
  let line = `${time} ${event.level.padEnd(5)} ${event.event}`;
  let message: Field = null;
  for (const name in event) {
    const value = event[name];
    if (name === 'event' || name === 'level' || value === undefined || value === null) continue;
    if (name === 'message') message = value;
    else line += ` ${fieldText(name, value)}`;
  }
  return message === null ? line : `${line}: ${textOf(message, true)}`;
}

/** Durations, which are fields in ms, are told as people read them. */
export function fieldText(name: string, value: Exclude<Field, null | undefined>): string {
  if (name.endsWith('Ms') && typeof value === 'number') return `${name.slice(0, -2)}=${spanText(value)}`;
  return `${name}=${textOf(value)}`;
}

function textOf(value: Exclude<Field, null | undefined>, bare = false): string {
  if (typeof value === 'string') return bare || /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
  return typeof value === 'object' ? value.join(',') : String(value);
}
