/**
 * `npm run bench`: measures Millrace on Nexmark queries, after a crash and with a large state, and checks every row on the
 * way. What is measured and how: the README beside this file.
 */
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '../../lib/base/errors.ts';
import { Closing } from '../rig/closing.ts';
import { QUERIES, type Query } from './answers.ts';
import { drawResults } from './chart.ts';
import { compareResults } from './compare.ts';
import { SHAPES, type Shape } from './input.ts';
import { packProduct } from './product.ts';
import { measureRecovery } from './recovery.ts';
import { reportMarkdown, reportText } from './report.ts';
import { allCorrect, beginResults, type Results, readResults } from './results.ts';
import { runQuery } from './run.ts';
import { measureState } from './state.ts';
import { toText } from './table.ts';

const PARTS = ['queries', 'recovery', 'state'] as const;
type Part = (typeof PARTS)[number];

const HELP = `Measures Millrace on Nexmark queries: events per second of CPU (worker and broker) over a full backlog, beside the raw
limit of the same messages without an engine; latency at a steady rate; the silence after SIGKILL; the cost of a large
state. Every row is checked against a batch answer; a wrong row makes the exit code 1.

Examples:
  npm run bench                                        everything, 3,000,000 events: about an hour
  npm run bench -- --out results.json                  the same, kept: results.json, results.md, results.svg
  npm run bench -- --query q0,qj --shape framed --events 200000 --live-seconds 5
  npm run bench -- --query qj --shape framed --events 1000000 --json
  npm run bench -- --part recovery
  npm run bench -- --compare before.json after.json    what has changed

Options:
  --query Q[,Q]      of ${QUERIES.join(', ')}                              (default all)
  --shape S[,S]      of framed (200 events a message), single (one),
                     safe (framed, every write synced)                       (default all)
  --part P[,P]       of ${PARTS.join(', ')}                             (default all; with
                     --query or --shape: queries)
  --events N         Nexmark events; a query reads only its kinds            (default 3000000)
  --rate N           events a second while latency is measured               (default 10000)
  --live-seconds N   how long it is measured, 0: not at all                  (default 60)
  --partitions N     into how many the keys of a query's stages are cut      (default that of pipelines)
  --crash-ids N      ids in the state that a crash meets                     (default 700000)
  --ids N[,N]        sizes of the large state                                (default 1000000,10000000)
  --out FILE.json    write results there; beside it a report and a picture, FILE.md and FILE.svg
  --json             results as JSON on the last line; of a single run only that run
  --compare          compare two files of results
  --help             this
`;

interface Plan {
  readonly parts: readonly Part[];
  readonly queries: readonly Query[];
  readonly shapes: readonly Shape[];
  readonly events: number;
  readonly live: { readonly eventsPerSecond: number; readonly seconds: number };
  /** Null: the default of pipelines. */
  readonly partitions: number | null;
  readonly crashIds: number;
  readonly ids: readonly number[];
  readonly out: string | null;
}

const { values, positionals } = readFlags();
if (values.help) {
  process.stdout.write(HELP);
} else if (values.compare) {
  const [before, after] = positionals;
  if (before === undefined || after === undefined || positionals.length > 2) refuse('--compare takes two files');
  try {
    console.log(toText(compareResults(await readResults(before), await readResults(after))));
  } catch (error) {
    refuse(messageOf(error));
  }
} else {
  if (positionals.length > 0) refuse(`${positionals.join(' ')}: files are for --compare`);
  const plan = readPlan();
  const closing = new Closing();
  closing.heedSignals();
  try {
    const results = await beginResults();
    await measure(results, { plan, closing });
    const [run] = results.queries;
    if (!values.json) console.log(`\n${reportText(results)}`);
    else console.log(JSON.stringify(isSingle(plan) && run !== undefined ? run : results));
    process.exitCode = allCorrect(results) ? 0 : 1;
  } catch (error) {
    // What breaks because everything is being taken down is nobody's mistake.
    if (!closing.interrupted) process.stderr.write(`error: ${messageOf(error)}\n`);
    process.exitCode = 1;
  }
  await closing.run();
}

/** Fills the results, and keeps what there is after every step: a long bench may be interrupted. */
async function measure(results: Results, { plan, closing }: { plan: Plan; closing: Closing }): Promise<void> {
  const { events, live, partitions, out } = plan;
  const begunMs = performance.now();
  const sayOf = (what: string) => (text: string) => {
    const seconds = Math.round((performance.now() - begunMs) / 1_000);
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    process.stderr.write(`${clock.padStart(6)}  ${what}: ${text}\n`);
  };
  sayOf('millrace')('building and packing it');
  const launcher = await packProduct(closing);
  if (plan.parts.includes('queries')) {
    const runs = plan.queries.flatMap(query => plan.shapes.map(shape => ({ query, shape })));
    for (const [i, { query, shape }] of runs.entries()) {
      const say = sayOf(`${i + 1}/${runs.length} ${query} ${shape}`);
      results.queries.push(
        await runQuery({ query, shape, events, live, partitions, raw: true, launcher, closing, say }),
      );
      await keep(results, out);
    }
  }
  if (plan.parts.includes('recovery')) {
    const say = sayOf('recovery');
    results.recovery.push(...(await measureRecovery({ keys: plan.crashIds, launcher, closing, say })));
    await keep(results, out);
  }
  for (const keys of plan.parts.includes('state') ? plan.ids : []) {
    const say = sayOf(`state of ${keys.toLocaleString('en-US')}`);
    results.state.push(await measureState({ keys, launcher, closing, say }));
    await keep(results, out);
  }
}

async function keep(results: Results, out: string | null): Promise<void> {
  if (out === null) return;
  const stem = out.replace(/\.json$/, '');
  await writeFile(out, `${JSON.stringify(results, null, 2)}\n`);
  await writeFile(`${stem}.svg`, drawResults(results));
  await writeFile(`${stem}.md`, reportMarkdown(results, { picture: `${basename(stem)}.svg` }));
}

function isSingle({ parts, queries, shapes }: Plan): boolean {
  return parts.length === 1 && parts[0] === 'queries' && queries.length === 1 && shapes.length === 1;
}

function readPlan(): Plan {
  const queriesOnly = values.query !== undefined || values.shape !== undefined;
  if (values.out !== undefined && !values.out.endsWith('.json')) refuse(`--out ${values.out}: name a .json file`);
  return {
    parts: readList('--part', values.part ?? (queriesOnly ? 'queries' : PARTS.join()), PARTS),
    queries: readList('--query', values.query ?? QUERIES.join(), QUERIES),
    shapes: readList('--shape', values.shape ?? SHAPES.join(), SHAPES),
    events: readCount('--events', values.events, 1_000),
    live: {
      eventsPerSecond: readCount('--rate', values.rate, 1),
      seconds: readCount('--live-seconds', values['live-seconds'], 0),
    },
    partitions: values.partitions === undefined ? null : readCount('--partitions', values.partitions, 1),
    crashIds: readCount('--crash-ids', values['crash-ids'], 1_000),
    ids: values.ids.split(',').map(text => readCount('--ids', text, 1_000)),
    out: values.out ?? null,
  };
}

function readFlags() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        query: { type: 'string' },
        shape: { type: 'string' },
        part: { type: 'string' },
        events: { type: 'string', default: '3000000' },
        rate: { type: 'string', default: '10000' },
        'live-seconds': { type: 'string', default: '60' },
        partitions: { type: 'string' },
        'crash-ids': { type: 'string', default: '700000' },
        ids: { type: 'string', default: '1000000,10000000' },
        out: { type: 'string' },
        json: { type: 'boolean', default: false },
        compare: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return refuse(messageOf(error));
  }
}

function readList<T extends string>(name: string, text: string, known: readonly T[]): T[] {
  return text.split(',').map(word => {
    const found = known.find(one => one === word.trim());
    return found ?? refuse(`${name} ${word}: there is ${known.join(', ')}`);
  });
}

function readCount(name: string, text: string, least: number): number {
  const count = Number(text);
  return Number.isInteger(count) && count >= least ? count : refuse(`${name} ${text}: take a number from ${least} on`);
}

function refuse(message: string): never {
  process.stderr.write(`error: ${message}\n`);
  process.exit(2);
}
