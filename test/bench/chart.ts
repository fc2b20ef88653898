/**
 * The picture of the results, an SVG: events per CPU-second as bars, a bar for each query and shape; and latency from p50 to
 * p99 on a logarithmic scale. It brings its own background and follows the reader's light or dark.
 */
import { QUERIES } from './answers.ts';
import { SHAPES, type Shape } from './input.ts';
import { machineLine } from './report.ts';
import type { Results } from './results.ts';
import type { RunResult } from './run.ts';
import { percent, whole } from './table.ts';

const WIDTH = 760;
const LEFT = 64;
const RIGHT = 150;
const PLOT = WIDTH - LEFT - RIGHT;
const BAR = 14;
const GAP = 3;
const GROUP_GAP = 16;
const LEGEND = 226;

const STYLE = `
  .page { fill: #fcfcfb } .ink { fill: #1a1a19 } .soft { fill: #5c5b57 } .grid { stroke: #e4e3dd }
  .framed { fill: #2a78d6 } .single { fill: #c77700 } .safe { fill: #128a63 }
  .span { stroke-width: 3; stroke-linecap: round }
  .span.framed { stroke: #2a78d6 } .span.single { stroke: #c77700 } .span.safe { stroke: #128a63 }
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif }
  .title { font-size: 15px; font-weight: 600 } .query { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #1a1a19 } .ink { fill: #f4f3ee } .soft { fill: #b5b4ac } .grid { stroke: #383734 }
    .framed { fill: #5ba0f0 } .single { fill: #eba13c } .safe { fill: #35b98a }
    .span.framed { stroke: #5ba0f0 } .span.single { stroke: #eba13c } .span.safe { stroke: #35b98a }
  }`;

const MEANING: Readonly<Record<Shape, string>> = {
  framed: 'framed: 200 events a message',
  single: 'single: one event a message',
  safe: 'safe: framed, every write synced',
};

interface Part {
  readonly height: number;
  readonly svg: string;
}

interface Group {
  readonly query: string;
  readonly runs: readonly RunResult[];
}

export function drawResults(results: Results): string {
  const latencies = results.queries.filter(run => run.p50Ms !== null);
  const shapes = SHAPES.filter(shape => results.queries.some(run => run.shape === shape));
  const parts = [
    heading('Events per second of CPU, worker and broker together', legendOf(shapes)),
    speedPart(groupsOf(results.queries)),
    ...(latencies.length === 0
      ? []
      : [
          heading('Latency at a steady rate, publisher to subscriber: p50 to p99, ms'),
          latencyPart(groupsOf(latencies)),
        ]),
    footing(machineLine(results)),
  ];
  let y = 0;
  const placed = parts.map(({ svg, height }) => {
    const text = `<g transform="translate(0 ${y})">${svg}</g>`;
    y += height;
    return text;
  });
  const size = `width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="Millrace: events per CPU-second and latency">`,
    `<style>${STYLE}\n</style>`,
    `<rect class="page" width="${WIDTH}" height="${y}" rx="8"/>`,
    ...placed,
    '</svg>\n',
  ].join('\n');
}

function groupsOf(runs: readonly RunResult[]): Group[] {
  return QUERIES.map(query => ({
    query,
    runs: SHAPES.flatMap(shape => runs.filter(run => run.query === query && run.shape === shape)),
  })).filter(({ runs }) => runs.length > 0);
}

function heading(title: string, below: string[] = []): Part {
  return { height: 40 + below.length * 22, svg: [write(16, 30, title, 'ink title'), ...below].join('') };
}

function legendOf(shapes: readonly Shape[]): string[] {
  const items = shapes.map((shape, i) => {
    const x = 16 + i * LEGEND;
    return `<rect class="${shape}" x="${x}" y="44" width="10" height="10" rx="2"/>${write(x + 16, 53, MEANING[shape], 'soft')}`;
  });
  return [items.join('')];
}

function footing(text: string): Part {
  const lines = text.split('; ');
  return { height: 20 + lines.length * 16, svg: lines.map((line, i) => write(16, 20 + i * 16, line, 'soft')).join('') };
}

function speedPart(groups: readonly Group[]): Part {
  const most = Math.max(1, ...groups.flatMap(({ runs }) => runs.map(run => run.eventsPerCpuSecond)));
  const step = niceStep(most / 4);
  const scale = (value: number) => LEFT + (value / (Math.ceil(most / step) * step)) * PLOT;
  const ticks = Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
  return plot(groups, {
    ticks: ticks.map(value => [scale(value), value === 0 ? '0' : `${whole(value / 1_000)}k`]),
    mark(run, y) {
      const width = Math.max(scale(run.eventsPerCpuSecond) - LEFT, 1);
      const share = run.ofRaw === null ? '' : `, ${percent(run.ofRaw)} of raw`;
      const wrong = run.correct ? '' : ', WRONG ROWS';
      return [
        `<rect class="${run.shape}" x="${LEFT}" y="${y}" width="${round(width)}" height="${BAR}" rx="2"/>`,
        write(LEFT + width + 6, y + BAR - 3, `${whole(run.eventsPerCpuSecond)}${share}${wrong}`, 'soft'),
      ];
    },
  });
}

function latencyPart(groups: readonly Group[]): Part {
  const all = groups.flatMap(({ runs }) => runs.flatMap(run => [run.p50Ms ?? 1, run.p99Ms ?? 1]));
  const low = 10 ** Math.floor(Math.log10(Math.min(...all)));
  const high = 10 ** Math.max(Math.ceil(Math.log10(Math.max(...all))), Math.log10(low) + 1);
  const decades = Math.round(Math.log10(high / low));
  const scale = (ms: number) => LEFT + (Math.log10(ms / low) / decades) * PLOT;
  return plot(groups, {
    ticks: Array.from({ length: decades + 1 }, (_, i) => [scale(low * 10 ** i), `${low * 10 ** i}`]),
    mark({ shape, p50Ms, p99Ms }, y) {
      const [from, to] = [scale(p50Ms ?? low), scale(p99Ms ?? low)];
      const middle = y + BAR / 2;
      return [
        `<line class="span ${shape}" x1="${round(from)}" y1="${middle}" x2="${round(to)}" y2="${middle}"/>`,
        `<circle class="${shape}" cx="${round(from)}" cy="${middle}" r="5"/>`,
        write(to + 8, y + BAR - 3, `${p50Ms?.toFixed(1)} to ${p99Ms?.toFixed(1)}`, 'soft'),
      ];
    },
  });
}

/** Grid, names of queries, and a mark for each run. */
function plot(
  groups: readonly Group[],
  { ticks, mark }: { ticks: readonly (readonly [number, string])[]; mark(run: RunResult, y: number): string[] },
): Part {
  const marks: string[] = [];
  let y = 24;
  for (const { query, runs } of groups) {
    const height = runs.length * (BAR + GAP) - GAP;
    marks.push(write(16, y + height / 2 + 4, query, 'ink query'));
    for (const run of runs) {
      marks.push(...mark(run, y));
      y += BAR + GAP;
    }
    y += GROUP_GAP - GAP;
  }
  const grid = ticks.flatMap(([x, label]) => [
    `<line class="grid" x1="${round(x)}" y1="18" x2="${round(x)}" y2="${y - GROUP_GAP + 6}"/>`,
    write(x, 12, label, 'soft', 'middle'),
  ]);
  return { height: y + 4, svg: [...grid, ...marks].join('\n') };
}

/** 1, 2 or 5 times a power of ten, at least as large. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find(factor => factor * power >= least) ?? 10);
}

function write(x: number, y: number, text: string, style: string, anchor = 'start'): string {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text class="${style}" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${escaped}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
