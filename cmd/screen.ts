/**
 * What `dev` shows: at a terminal a block that is drawn anew in place, elsewhere plain lines. Both are made from the same
 * two kinds of news, status snapshots and result rows.
 */
import { printable, printableLine } from '../lib/base/printable.ts';
import type { PipelineInfo } from '../lib/control/client.ts';
import type { Event, Observer } from '../lib/observe/events.ts';
import { textLine } from '../lib/observe/log.ts';
import { heldText, waitsOf } from './event-time.ts';
import { bytes, count, optional, span, time } from './output.ts';
import { ageLines, lagOf, totalOf } from './resources.ts';
import type { OutputRow, TailedLetter } from './tail.ts';

export interface Screen extends Observer {
  status(pipeline: PipelineInfo): void;
  row(row: OutputRow): void;
  /** A record that was not processed. */
  letter(letter: TailedLetter): void;
  /** A line for the person. */
  say(text: string): void;
  stop(): void;
}

export interface ScreenOptions {
  /** Shown on top: what runs where. */
  readonly title: string;
  write(text: string): void;
  now(): number;
  /** Width of the terminal, in characters. */
  columns(): number;
}

/** Records a second between two snapshots. */
class Rates {
  #last: PipelineInfo | null = null;
  in = 0;
  out = 0;

  take(pipeline: PipelineInfo): void {
    const last = this.#last;
    this.#last = pipeline;
    const seconds = last === null ? 0 : (pipeline.atMs - last.atMs) / 1_000;
    // What is not known yet of all has not been done since.
    const isKnown = last !== null && !last.status.counts.partial && !pipeline.status.counts.partial;
    if (last === null || seconds <= 0 || !isKnown) return;
    this.in = Math.max(0, (pipeline.status.counts.in - last.status.counts.in) / seconds);
    this.out = Math.max(0, (pipeline.status.counts.out - last.status.counts.out) / seconds);
  }
}

const ROWS_MAX = 10;
const TROUBLES_MAX = 5;
const LETTERS_MAX = 3;
const WAITS_MAX = 4;
const DRAW_MS = 200;

/** A block that is drawn anew in place. */
export function liveScreen(options: ScreenOptions): Screen {
  const rates = new Rates();
  const rows: OutputRow[] = [];
  const troubles: string[] = [];
  const letters: TailedLetter[] = [];
  let pipeline: PipelineInfo | null = null;
  let drawn = 0;
  let timer: NodeJS.Timeout | null = null;

  const erase = () => (drawn === 0 ? '' : `\x1b[${drawn}A\x1b[J`);
  const draw = () => {
    timer = null;
    const lines = [
      options.title,
      '',
      ...(pipeline === null ? ['starting …'] : statusLines(pipeline, rates, options.now())),
    ];
    if (rows.length > 0) lines.push('', 'latest results', ...rows.map(row => `  ${row.subject}  ${row.text}`));
    if (letters.length > 0) lines.push('', 'latest letters', ...letters.flatMap(letterLines));
    const width = Math.max(20, options.columns() - 1);
    // What to do about it is said at the end: the latest is shown whole.
    const latest = wrapped(troubles.at(-1) ?? '', width - 2);
    if (troubles.length > 0) {
      lines.push('', 'latest warnings', ...[...troubles.slice(0, -1), ...latest].map(line => `  ${line}`));
    }
    lines.push('', 'Ctrl-C stops; the same command goes on from here');
    const fitted = lines.map(printableLine).map(line => (line.length > width ? `${line.slice(0, width - 1)}…` : line));
    options.write(`${erase()}${fitted.join('\n')}\n`);
    drawn = fitted.length;
  };
  const drawSoon = () => {
    timer ??= setTimeout(draw, DRAW_MS);
  };
  return {
    status(next) {
      rates.take(next);
      pipeline = next;
      drawSoon();
    },
    row(row) {
      rows.push(row);
      if (rows.length > ROWS_MAX) rows.shift();
      drawSoon();
    },
    letter(letter) {
      letters.push(letter);
      if (letters.length > LETTERS_MAX) letters.shift();
      drawSoon();
    },
    emit(event) {
      if (event.level !== 'warn' && event.level !== 'error') return;
      troubles.push(oneLine(event, options.now()));
      if (troubles.length > TROUBLES_MAX) troubles.shift();
      drawSoon();
    },
    say(text) {
      options.write(`${erase()}${printable(text)}\n`);
      drawn = 0;
      drawSoon();
    },
    stop() {
      if (timer !== null) clearTimeout(timer);
      draw();
      if (timer !== null) clearTimeout(timer);
    },
  };
}

/** Lines that stay: for pipes, logs and dumb terminals. */
export function plainScreen(options: ScreenOptions): Screen {
  const write = (text: string) => options.write(printable(text));
  const rates = new Rates();
  let last = '';
  let second = 0;
  let shown = 0;
  let hidden = 0;
  let lettersShown = 0;
  write(`${options.title}\n`);
  const unhide = () => {
    if (hidden > 0) write(`  … and ${count(hidden)} more results\n`);
    hidden = 0;
    shown = 0;
    lettersShown = 0;
  };
  return {
    status(pipeline) {
      rates.take(pipeline);
      const line = statusLines(pipeline, rates, null)
        .map(part => part.trim())
        .join('   ');
      if (line === last) return;
      last = line;
      write(`${line}\n`);
    },
    row(row) {
      const now = Math.floor(options.now() / 1_000);
      if (now !== second) unhide();
      second = now;
      if (shown++ < ROWS_MAX) write(`  ${row.subject}  ${row.text}\n`);
      else hidden++;
    },
    letter(letter) {
      const now = Math.floor(options.now() / 1_000);
      if (now !== second) unhide();
      second = now;
      if (lettersShown++ < LETTERS_MAX) write(`${letterLines(letter).join('\n')}\n`);
    },
    emit(event) {
      // There are as many tasks as partitions: what each of them does is news only when something is wrong.
      if (event.level === 'debug' || (event.level === 'info' && event.partition !== undefined)) return;
      write(`${oneLine(event, options.now())}\n`);
    },
    say(text) {
      write(`${text}\n`);
    },
    stop: unhide,
  };
}

/** What was wrong, where (user code names its own line), and with what. */
function letterLines({ operator, code, message, text }: TailedLetter): string[] {
  const what = code === null ? message : `${code}: ${message}`;
  return [`  ${operator}  ${what.replaceAll('\n', ' ')}`, `    ${text.replaceAll('\n', ' ')}`];
}

/** In lines of at most so many characters, between words where there are any. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width) {
    const space = rest.lastIndexOf(' ', width);
    const end = space > 0 ? space : width;
    lines.push(rest.slice(0, end));
    rest = rest.slice(space > 0 ? end + 1 : end);
  }
  return [...lines, rest];
}

function oneLine(event: Event, nowMs: number): string {
  return textLine(event, nowMs).replaceAll('\n', ' ');
}

/** What operators hold that waits for event time, and who is waited for: it changes all the time. */
function waitLines(pipeline: PipelineInfo): string[] {
  const waiting = pipeline.status.operators.filter(({ nextMs }) => nextMs !== null);
  return [
    ...ageLines(pipeline),
    ...waiting.slice(0, WAITS_MAX).map(operator => `${operator.name}  ${heldText(operator)}`),
    ...waitsOf(pipeline).slice(0, WAITS_MAX),
  ].map(line => `  ${line}`);
}

/** @param nowMs to say how far the watermark is behind it; null: leave that out, it changes all the time. */
function statusLines(pipeline: PipelineInfo, rates: Rates, nowMs: number | null): string[] {
  const { status } = pipeline;
  const { counts, tasks } = status;
  const dropped = Object.entries(counts.dropped).map(([reason, amount]) => `${count(amount)} ${reason}`);
  const { watermarkMs } = status;
  const behind = watermarkMs === null || nowMs === null ? '' : ` (${span(nowMs - watermarkMs)} ago)`;
  const running = tasks.filter(task => task.state === 'running').length;
  const entries = tasks.reduce((sum, task) => sum + task.stateEntries, 0);
  const size = tasks.reduce((sum, task) => sum + task.stateBytes, 0);
  return [
    `${pipeline.name}  ${status.state}  revision ${pipeline.revision}${status.reason === null ? '' : `  ${status.reason}`}`,
    `  in ${count(rates.in)}/s (${totalOf(counts, 'in')})  out ${count(rates.out)}/s (${totalOf(counts, 'out')})  late ${totalOf(counts, 'late')}  dead ${totalOf(counts, 'dead')}${dropped.length === 0 ? '' : `  dropped ${dropped.join(', ')}`}`,
    `  lag ${optional(lagOf(pipeline), count)}  watermark ${time(watermarkMs)}${behind}  state ${bytes(size)} in ${count(entries)} entries  tasks ${running}/${tasks.length}`,
    ...(nowMs === null ? [] : waitLines(pipeline)),
  ];
}
