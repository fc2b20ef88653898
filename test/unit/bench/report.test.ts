/** What becomes of results: tables, a picture, a comparison. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { drawResults } from '../../bench/chart.ts';
import { compareResults } from '../../bench/compare.ts';
import { reportMarkdown, reportText } from '../../bench/report.ts';
import type { Results } from '../../bench/results.ts';
import type { RunResult } from '../../bench/run.ts';
import { toMarkdown, toText } from '../../bench/table.ts';

const run: RunResult = {
  ...{
    query: 'qj',
    shape: 'framed',
    events: 1_000_000,
    eventsRead: 980_000,
    correct: true,
    rows: 900,
    rowsExpected: 900,
  },
  ...{ eventsPerCpuSecond: 80_000, workerCpuSeconds: 10, brokerCpuSeconds: 2, wallSeconds: 9 },
  ...{ raw: { eventsPerCpuSecond: 800_000, wallSeconds: 1 }, ofRaw: 0.1, p50Ms: 2.5, p99Ms: 12, maxMs: 40 },
  ...{ rssMb: 300, brokerRssMb: 100, workerDiskMb: 1, brokerDiskMb: 20, toBrokerMb: 25 },
};

const results: Results = {
  format: 1,
  at: '2026-01-02T03:04:05.000Z',
  version: '1.2.3',
  commit: 'abcdef0',
  machine: { cpu: 'a <fast> one', cores: 2, memoryGb: 8, node: '20.1.0', natsServer: '2.12.0' },
  queries: [
    run,
    { ...run, shape: 'single', eventsPerCpuSecond: 20_000 },
    { ...run, query: 'q5', p50Ms: null, p99Ms: null },
  ],
  recovery: [{ disk: 'kept', keys: 700_000, correct: true, stateMb: 100, silentSeconds: 2.5, freshSeconds: 3 }],
  state: [
    {
      ...{ keys: 1_000_000, correct: false, eventsPerCpuSecond: 90_000, repeatsPerCpuSecond: 150_000, wallSeconds: 9 },
      ...{ rssMb: 500, stateMb: 150, workerFolderMb: 30, brokerStoredMb: 60 },
    },
  ],
};

describe('a table', () => {
  const table = {
    title: 'Sizes',
    head: ['what', 'size'],
    rows: [
      ['ant', '1'],
      ['elephant', '1,000'],
    ],
  };

  test('has numbers on the right and words on the left, in a terminal', () => {
    assert.equal(toText(table), 'Sizes\n\nwhat       size\n────────  ─────\nant           1\nelephant  1,000');
  });

  test('and as Markdown', () => {
    const lines = ['**Sizes**', '', '| what | size |', '|---|--:|', '| ant | 1 |', '| elephant | 1,000 |'];
    assert.equal(toMarkdown(table), lines.join('\n'));
  });
});

describe('the report', () => {
  test('shows every part, and says of wrong rows that they are wrong', () => {
    for (const text of [reportText(results), reportMarkdown(results, { picture: 'results.svg' })]) {
      for (const part of ['80,000', '10 %', '2.5 / 12.0', '700,000', '1,000,000 WRONG', 'nats-server 2.12.0']) {
        assert.ok(text.includes(part), `${part} is missing in\n${text}`);
      }
    }
  });

  test('leaves out what was not measured', () => {
    const text = reportText({ ...results, recovery: [], state: [] });
    assert.ok(!text.includes('SIGKILL') && !text.includes('Dedupe'));
  });
});

describe('the picture', () => {
  test('is one well-formed element with a bar for each run, and a line for each that has latencies', () => {
    const svg = drawResults(results);
    assert.match(svg, /^<svg [^>]*viewBox="0 0 760 \d+"[\s\S]*<\/svg>\n$/);
    assert.equal(svg.match(/<rect class="(framed|single|safe)"[^>]*height="14"/g)?.length, 3);
    assert.equal(svg.match(/<line class="span /g)?.length, 2);
    assert.ok(svg.includes('a &lt;fast> one'));
    assert.ok(!/NaN|undefined|Infinity/.test(svg), svg);
    const opened = svg.match(/<[a-z]/g)?.length;
    const closed = (svg.match(/<\/[a-z]/g)?.length ?? 0) + (svg.match(/\/>/g)?.length ?? 0);
    assert.equal(opened, closed);
  });

  test('can be drawn of one run that gave nothing', () => {
    const svg = drawResults({ ...results, queries: [{ ...run, eventsPerCpuSecond: 0, p50Ms: null, p99Ms: null }] });
    assert.ok(!/NaN|undefined|Infinity/.test(svg), svg);
  });
});

describe('a comparison', () => {
  const faster = { ...run, eventsPerCpuSecond: 100_000, p99Ms: 24, rssMb: 310 };
  const table = compareResults(results, { ...results, queries: [faster], state: [] });

  test('gives ratios of what both have, and marks what changed by more than a tenth', () => {
    assert.deepEqual(table.rows, [
      ['qj framed', 'events/CPU-s', '80,000', '100,000', '1.25', 'better'],
      ['qj framed', 'p50 ms', '2.5', '2.5', '1.00', ''],
      ['qj framed', 'p99 ms', '12.0', '24.0', '2.00', 'WORSE'],
      ['qj framed', 'RSS MB', '300', '310', '1.03', ''],
      ['crash, folder kept', 'silent s', '2.5', '2.5', '1.00', ''],
    ]);
    assert.deepEqual(table.notes, []);
  });

  test('says when the two cannot quite be compared', () => {
    const other = { ...results, machine: { ...results.machine, cores: 64 }, queries: [{ ...run, events: 5_000 }] };
    assert.equal(compareResults(results, other).notes?.length, 2);
  });
});
