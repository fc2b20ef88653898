/**
 * What the demo shows while it runs: a table that redraws itself on a terminal, one line every two seconds elsewhere.
 * Drawing is a function of the view alone; the screen only decides when and where.
 */
import type { WriteStream } from 'node:tty';

export interface OutputView {
  /** As a subscriber writes it: `flights.departures.*`. */
  readonly subject: string;
  readonly expected: number;
  readonly verified: number;
  /** Rows that came without being expected. */
  readonly surplus: number;
  readonly rowsPerSecond: number;
}

export interface View {
  readonly title: string;
  /** What is being done, for a person: `publishing`, `waiting for the last windows`. */
  readonly phase: string;
  readonly published: number;
  readonly publishedMax: number;
  readonly eventsPerSecond: number;
  readonly outputs: readonly OutputView[];
  readonly deadLetters: { readonly expected: number; readonly got: number };
  /** Records that came too late. */
  readonly late: { readonly expected: number; readonly got: number };
  /** From publishing the event that completed a row to the row's arrival; null before the first. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly kills: number;
  /** The newest row, in words. */
  readonly latest: string;
}

const BAR_WIDTH = 32;
const REDRAW_MS = 200;
const LINE_MS = 2_000;

/** The table, line by line. */
export function drawTable(view: View): string[] {
  const share = view.publishedMax === 0 ? 0 : view.published / view.publishedMax;
  const full = Math.round(share * BAR_WIDTH);
  const bar = '█'.repeat(full) + '░'.repeat(BAR_WIDTH - full);
  const kills = view.kills === 0 ? '' : `   worker killed ${view.kills} ×`;
  return [
    view.title,
    `${bar} ${Math.floor(share * 100)} %   ${whole(view.published)} events, ${whole(view.eventsPerSecond)}/s${kills}`,
    `latency p50 ${duration(view.p50Ms)}, p99 ${duration(view.p99Ms)}   ${view.phase}`,
    '',
    row(['output', 'expected', 'verified', 'wrong', 'rows/s']),
    ...view.outputs.map(output =>
      row([
        output.subject,
        whole(output.expected),
        whole(output.verified),
        whole(output.surplus),
        whole(output.rowsPerSecond),
      ]),
    ),
    row(['dead letters', whole(view.deadLetters.expected), whole(view.deadLetters.got), '', '']),
    row(['late records', whole(view.late.expected), whole(view.late.got), '', '']),
    '',
    view.latest,
  ];
}

/** The same in one line. */
export function drawLine(view: View): string {
  const verified = view.outputs.reduce((sum, output) => sum + output.verified, 0);
  const expected = view.outputs.reduce((sum, output) => sum + output.expected, 0);
  const surplus = view.outputs.reduce((sum, output) => sum + output.surplus, 0);
  return [
    `${whole(view.published)} of ${whole(view.publishedMax)} events (${whole(view.eventsPerSecond)}/s)`,
    `verified ${whole(verified)} of ${whole(expected)}`,
    `wrong ${whole(surplus)}`,
    `p50 ${duration(view.p50Ms)} p99 ${duration(view.p99Ms)}`,
    ...(view.kills > 0 ? [`killed ${view.kills} ×`] : []),
    view.phase,
  ].join(' · ');
}

/** 1234567 → `1,234,567`. */
export function whole(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

function duration(ms: number | null): string {
  if (ms === null) return '–';
  return ms < 1_000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(26) : cell.padStart(11))).join('');
}

/** Draws what `look` returns again and again until it is closed. */
export class Screen {
  private readonly out: WriteStream;
  private readonly look: () => View;
  private readonly timer: NodeJS.Timeout;
  private linesDrawn = 0;
  private closed = false;

  constructor(out: WriteStream, look: () => View) {
    this.out = out;
    this.look = look;
    this.timer = setInterval(() => this.draw(), out.isTTY ? REDRAW_MS : LINE_MS);
  }

  /** Says something once, above the table. */
  say(text: string): void {
    this.erase();
    this.out.write(`${text}\n`);
    if (this.out.isTTY) this.draw();
  }

  /** Draws for the last time. May be called again. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.timer);
    this.draw();
    this.linesDrawn = 0;
  }

  private draw(): void {
    if (!this.out.isTTY) {
      this.out.write(`${drawLine(this.look())}\n`);
      return;
    }
    this.erase();
    const lines = drawTable(this.look()).map(line => line.slice(0, Math.max(this.out.columns - 1, 20)));
    this.out.write(lines.join('\n') + '\n');
    this.linesDrawn = lines.length;
  }

  private erase(): void {
    if (this.linesDrawn > 0) this.out.write(`\x1b[${this.linesDrawn}A\x1b[J`);
    this.linesDrawn = 0;
  }
}
