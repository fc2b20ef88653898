/** The report: results as tables, and as the Markdown file that `--out` writes beside them. */
import { QUERIES } from './answers.ts';
import { SHAPES } from './input.ts';
import type { Results } from './results.ts';
import type { RunResult } from './run.ts';
import { fixed, percent, type Table, toMarkdown, toText, whole } from './table.ts';

type Column<T> = readonly [name: string, cell: (result: T) => string];

/** One line: on what it was measured. */
export function machineLine({ at, version, commit, machine }: Results): string {
  const { cpu, cores, memoryGb, node, natsServer } = machine;
  const program = commit === null ? version : `${version} (${commit})`;
  const where = `${cores} cores of ${cpu}, ${memoryGb} GB; Node ${node}, nats-server ${natsServer}`;
  return `Millrace ${program}, ${at.slice(0, 10)}, ${where}`;
}

export function reportText(results: Results): string {
  return [machineLine(results), ...tablesOf(results).map(toText)].join('\n\n');
}

/** @param options.picture name of the file with the picture, in the same folder. */
export function reportMarkdown(results: Results, { picture }: { picture: string }): string {
  const shown = results.queries.length > 0 ? [`![Events per CPU-second and latency](${picture})`] : [];
  return `${[machineLine(results), ...shown, ...tablesOf(results).map(toMarkdown)].join('\n\n')}\n`;
}

/** Those that have rows. */
function tablesOf(results: Results): Table[] {
  const { queries } = results;
  return [figures(queries), runs(queries), recovery(results), state(results)].filter(table => table.rows.length > 0);
}

/** A row a query: what a README shows. */
function figures(queries: readonly RunResult[]): Table {
  const find = (query: string, shape: string) => queries.find(run => run.query === query && run.shape === shape);
  const speed = (run: RunResult | undefined) => (run === undefined ? '–' : whole(run.eventsPerCpuSecond));
  const raw = (run: RunResult | undefined) => percent(run?.ofRaw ?? null);
  const latency = (run: RunResult | undefined) =>
    run === undefined || run.p50Ms === null ? '–' : `${fixed(run.p50Ms, 1)} / ${fixed(run.p99Ms, 1)}`;
  const measured = QUERIES.filter(query => SHAPES.filter(shape => find(query, shape)).length > 1);
  return {
    title: 'Events per CPU-second, and latency in ms (p50 / p99)',
    head: ['query', 'framed', 'of raw', 'single', 'of raw', 'safe', 'framed, owned sink', 'single, shared sink'],
    rows: measured.map(query => {
      const [framed, single, safe] = SHAPES.map(shape => find(query, shape));
      return [
        ...[query, speed(framed), raw(framed), speed(single), raw(single), speed(safe)],
        ...[latency(framed), latency(single)],
      ];
    }),
  };
}

function runs(queries: readonly RunResult[]): Table {
  const columns: readonly Column<RunResult>[] = [
    ['query', run => run.query],
    ['shape', run => run.shape],
    ['rows', run => (run.correct ? whole(run.rows) : `${whole(run.rows)} WRONG, ${whole(run.rowsExpected)} expected`)],
    ['events/CPU-s', run => whole(run.eventsPerCpuSecond)],
    ['of raw', run => percent(run.ofRaw)],
    ['worker s', run => fixed(run.workerCpuSeconds, 2)],
    ['broker s', run => fixed(run.brokerCpuSeconds, 2)],
    ['wall s', run => fixed(run.wallSeconds, 1)],
    ['p50 ms', run => fixed(run.p50Ms, 1)],
    ['p99 ms', run => fixed(run.p99Ms, 1)],
    ['max ms', run => fixed(run.maxMs, 0)],
    ['RSS MB', run => `${run.rssMb} + ${run.brokerRssMb}`],
    ['disk MB', run => `${run.workerDiskMb} + ${run.brokerDiskMb}`],
    ['sent MB', run => whole(run.toBrokerMb)],
  ];
  const [first] = queries;
  return {
    ...tableOf(`Each run${first === undefined ? '' : `, ${whole(first.events)} Nexmark events`}`, columns, queries),
    notes: [
      'CPU: worker and broker. RSS at its peak, and bytes written to disk: worker + broker. Sent: by the worker to the broker.',
    ],
  };
}

function recovery({ recovery: crashes }: Results): Table {
  return tableOf(
    'After SIGKILL, under 10,000 events a second',
    [
      ['worker’s folder', crash => crash.disk],
      ['state MB', crash => whole(crash.stateMb)],
      ['no row for s', crash => fixed(crash.silentSeconds, 1)],
      ['rows fresh after s', crash => fixed(crash.freshSeconds, 1)],
      ['rows', crash => `${whole(crash.keys)}${crash.correct ? '' : ' WRONG'}`],
    ],
    crashes,
  );
}

function state({ state: sizes }: Results): Table {
  return tableOf(
    'Dedupe with many ids',
    [
      ['ids', size => `${whole(size.keys)}${size.correct ? '' : ' WRONG'}`],
      ['new ids/CPU-s', size => whole(size.eventsPerCpuSecond)],
      ['repeats/CPU-s', size => whole(size.repeatsPerCpuSecond)],
      ['RSS MB', size => whole(size.rssMb)],
      ['state in memory MB', size => whole(size.stateMb)],
      ['worker’s folder MB', size => whole(size.workerFolderMb)],
      ['broker keeps MB', size => whole(size.brokerStoredMb)],
    ],
    sizes,
  );
}

function tableOf<T>(title: string, columns: readonly Column<T>[], results: readonly T[]): Table {
  return {
    title,
    head: columns.map(([name]) => name),
    rows: results.map(result => columns.map(([, cell]) => cell(result))),
  };
}
