/**
 * `npm run bench`: measures Millrace on Nexmark queries and checks every row on the way.
 */
import { parseArgs } from 'node:util';
import { messageOf } from '../../lib/base/errors.ts';
import { QUERIES, type Query } from './answers.ts';
import type { Shape } from './input.ts';
import { type RunResult, runQuery } from './run.ts';

const HELP = `Measures Millrace on Nexmark queries: events per second of CPU, broker included, over a full backlog, then latency
at a steady rate. Every row is checked against a batch answer; a wrong row makes the exit code 1.

  npm run bench                                     q0 and qj, framed, 1,000,000 events, as a table
  npm run bench -- --query q5,q11 --events 200000   other queries (${QUERIES.join(', ')}), fewer events
  npm run bench -- --query qj --shape single --json one JSON object on the last line

  --query Q[,Q]         which queries                                    (default q0,qj)
  --shape framed|single 200 events a message, or one                     (default framed)
  --events N            Nexmark events; a query reads only its kinds     (default 1000000)
  --rate N              events a second while latency is measured        (default 10000)
  --live-seconds N      how long latency is measured, 0: not at all      (default 10)
  --json                results as JSON, the last line an object (an array of several)
`;

const values = readFlags();
if (values.help) {
  process.stdout.write(HELP);
} else {
  const queries = values.query.split(',').map(readQuery);
  const shape = readShape(values.shape);
  const events = readCount('--events', values.events, 1_000);
  const live = {
    eventsPerSecond: readCount('--rate', values.rate, 1),
    seconds: readCount('--live-seconds', values['live-seconds'], 0),
  };
  const results: RunResult[] = [];
  for (const query of queries) {
    const say = (text: string) => process.stderr.write(`${query}: ${text}\n`);
    results.push(await runQuery({ query, shape, events, live, say }));
  }
  if (values.json) console.log(JSON.stringify(results.length === 1 ? results[0] : results));
  else printTable(results);
  if (results.some(result => !result.correct)) process.exitCode = 1;
}

function printTable(results: readonly RunResult[]): void {
  const columns: readonly [string, (result: RunResult) => unknown][] = [
    ['query', result => result.query],
    ['shape', result => result.shape],
    ['events', result => result.eventsRead.toLocaleString('en-US')],
    ['rows', result => result.rows.toLocaleString('en-US')],
    ['correct', result => (result.correct ? 'yes' : `NO, ${result.rowsExpected.toLocaleString('en-US')} expected`)],
    ['events/CPU-s', result => result.eventsPerCpuSecond.toLocaleString('en-US')],
    ['worker CPU s', result => result.workerCpuSeconds.toFixed(2)],
    ['broker CPU s', result => result.serverCpuSeconds.toFixed(2)],
    ['wall s', result => result.wallSeconds.toFixed(1)],
    ['p50 ms', result => result.p50Ms ?? '–'],
    ['p99 ms', result => result.p99Ms ?? '–'],
    ['RSS MB', result => result.rssMb],
  ];
  const rows = [
    columns.map(([name]) => name),
    ...results.map(result => columns.map(([, cell]) => String(cell(result)))),
  ];
  const widths = columns.map((_, i) => Math.max(...rows.map(row => row[i]!.length)));
  for (const row of rows) console.log(row.map((cell, i) => cell.padStart(widths[i]!)).join('  '));
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        query: { type: 'string', default: 'q0,qj' },
        shape: { type: 'string', default: 'framed' },
        events: { type: 'string', default: '1000000' },
        rate: { type: 'string', default: '10000' },
        'live-seconds': { type: 'string', default: '10' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return refuse(messageOf(error));
  }
}

function readQuery(text: string): Query {
  const query = QUERIES.find(known => known === text.trim());
  return query ?? refuse(`--query ${text}: there is ${QUERIES.join(', ')}`);
}

function readShape(text: string): Shape {
  return text === 'framed' || text === 'single' ? text : refuse(`--shape ${text}: take framed or single`);
}

function readCount(name: string, text: string, least: number): number {
  const count = Number(text);
  return Number.isInteger(count) && count >= least ? count : refuse(`${name} ${text}: take a number from ${least} on`);
}

function refuse(message: string): never {
  process.stderr.write(`error: ${message}\n`);
  process.exit(2);
}
