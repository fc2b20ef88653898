import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { table } from '../../../cmd/output.ts';
import * as resources from '../../../cmd/resources.ts';
import { openTerminal } from '../../../cmd/terminal.ts';
import { failedLines } from '../../../cmd/verbs/get.ts';
import { emptyStatus } from '../../../lib/observe/status.ts';
import { root, textOf } from '../../tidy/texts.ts';

const PROTO = 'proto/millrace/admin/v1';

/** The JSON names of each message's fields. */
const fields = new Map<string, Set<string>>();
for (const file of readdirSync(`${root}/${PROTO}`).filter(name => name.endsWith('.proto'))) {
  for (const [, message, body] of textOf(`${PROTO}/${file}`).matchAll(/^message (\w+) \{([\s\S]*?)^\}/gm)) {
    const names = Array.from(
      body!.matchAll(/^ {2}(?:optional |repeated )?[\w.<>, ]+ (\w+) = \d+;/gm),
      match => match[1]!,
    );
    fields.set(
      message!,
      new Set(names.map(name => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()))),
    );
  }
}

function isOf(value: unknown, message: string, also: readonly string[] = []): void {
  const known = fields.get(message);
  assert.ok(known !== undefined && known.size > 0, `${message} is not in ${PROTO}`);
  for (const key of Object.keys(value as object)) {
    assert.ok(known.has(key) || also.includes(key), `${message} has no field ${key}`);
  }
}

const status = {
  stage: 's',
  partition: 1,
  state: 'running',
  epoch: 1,
  commits: 2,
  recordsIn: 3,
  recordsOut: 4,
  watermarkMs: 5,
  stateBytes: 6,
  stateEntries: 7,
  journalBytes: 0,
  journalCommits: 0,
  backlogBytes: 0,
  waitsFor: null,
};
const source = {
  name: 'r',
  position: 5,
  lag: null,
  watermarkMs: 60_000,
  clockMs: 90_000,
  recordsIn: 1,
  bytesIn: 0,
  lagMs: null,
  idle: false,
  quietMs: 0,
};
const operator = {
  stage: 's',
  name: 'window-1',
  unit: 'windows',
  held: 1,
  more: false,
  watermarkMs: 60_000,
  nextMs: 120_000,
};
const pipeline = {
  name: 'orders',
  revision: 3,
  bundleHash: 'abc',
  file: 'orders.ts',
  fingerprint: 'f',
  deployedAtMs: 1,
  deployedBy: null,
  deleting: false,
  paused: false,
  status: {
    ...emptyStatus('running', 'why'),
    sources: [source],
    tasks: [status],
    operators: [operator],
    watermarkMs: 60_000,
    counts: { in: 0, out: 0, late: 0, dead: 0, dropped: {}, partial: false },
  },
  worker: 'a',
  workers: ['a'],
  atMs: 9,
};
const letter = {
  number: 1,
  kind: 'dead' as const,
  operator: 'map-1',
  code: 'USER_CODE',
  message: 'no',
  atMs: 1,
  subject: 'a.b',
  index: 0,
  sizeBytes: 2,
  truncated: false,
  content: Buffer.from('hi'),
  headers: { A: 'b' },
};

describe('what is printed for programs', () => {
  test('has the fields of the interface, and no others', () => {
    const printed = resources.pipelines.json(pipeline) as Record<string, Record<string, unknown[]>>;
    isOf(printed, 'Pipeline');
    isOf(printed.status, 'PipelineStatus');
    isOf(printed.status!.sources![0], 'SourceStatus');
    isOf(printed.status!.tasks![0], 'TaskStatus');
    isOf(printed.status!.operators![0], 'OperatorStatus');
    isOf(printed.status!.counts, 'PipelineCounts');
    const worker = {
      name: 'a',
      address: 'b:1',
      version: '1',
      active: true,
      startedAtMs: 1,
      seenAtMs: 2,
      pipelines: 1,
      tasks: 2,
      ...{ zone: 'z', capacity: 1, draining: false, cordoned: false, silent: false, follows: 3 },
    };
    isOf(resources.workers.json(worker), 'Worker');
    isOf(resources.moves.json({ pipeline: 'p', part: 's/0', from: 'a', to: 'b', why: 'balance' }), 'Move');
    isOf(
      resources.tasks.json({
        pipeline: 'p',
        worker: 'w',
        status,
        followers: [{ worker: 'v', behind: 1, fresh: true }],
      }),
      'Task',
    );
    isOf(resources.tables.json({ operator: 'o', table: 't', stage: 's', entries: 1, bytes: 2 }), 'Table');
    const entry = { operator: 'o', table: 't', partition: 0, bucket: 0, key: 'k', value: null };
    isOf(resources.entries.json(entry), 'Entry', ['key', 'value']);
    isOf(resources.letters.json(letter), 'Letter');
  });

  test('leaves out what is not known, and shows content as text or in base64', () => {
    const printed = resources.pipelines.json(pipeline) as { status: { sources: object[] } };
    assert.equal('lag' in printed.status.sources[0]!, false);
    assert.equal((resources.letters.json(letter) as { content: string }).content, 'hi');
    assert.equal(resources.textOf(new Uint8Array([0xff, 0])), 'base64:/wA=');
    const { value } = resources.entries.json({
      operator: 'o',
      table: 't',
      partition: 0,
      bucket: 0,
      key: 'k',
      value: null,
    }) as { value: null };
    assert.equal(value, null, 'a value may be null');
  });
});

test('what people see of a pipeline fits on a line, with more of it on request', () => {
  const short = table(
    resources.pipelines.columns.filter(column => column.wide !== true),
    [pipeline],
  );
  assert.match(short, /^NAME +STATE +REVISION .*\norders +running +3 +0 .* – +1970-01-01T00:01:00Z +a +/);
  assert.match(table(resources.pipelines.columns, [pipeline]), /orders\.ts +abc +why$/);
  const { status: idle } = pipeline;
  const dropped = { ...idle, counts: { ...idle.counts, dropped: { duplicate: 2_000, filtered: 7 } } };
  const more = (one: typeof pipeline) => resources.pipelines.more!(one, openTerminal('never'));
  assert.match(more({ ...pipeline, status: dropped }), /^dropped: 2,000 duplicate, 7 filtered\n\n/m);
  assert.doesNotMatch(more(pipeline), /dropped/);
});

test('a list says where the reasons of failures are', () => {
  const one = (name: string, state: 'failed' | 'running') => ({ name, status: { state } });
  assert.deepEqual(failedLines([one('orders', 'failed'), one('sales', 'running')]), [
    'orders has failed; why: millrace get orders',
  ]);
  const current = { ...pipeline, status: { ...pipeline.status, state: 'failed' as const, ageMs: 0 } };
  assert.match(resources.pipelines.more?.(current, openTerminal('never')) ?? '', /^failed: why(\n|$)/);
  assert.deepEqual(failedLines([one('sales', 'running')]), []);
});

describe('a worker is called by', () => {
  const calm = { active: false, cordoned: false, draining: false, silent: false, pipelines: 2 };
  const roleOf = (about: object) => resources.roleOf({ ...calm, ...about } as Parameters<typeof resources.roleOf>[0]);

  test('what is most worth knowing of it', () => {
    assert.equal(roleOf({}), 'worker');
    assert.equal(roleOf({ active: true }), 'leader');
    assert.equal(roleOf({ active: true, draining: true }), 'draining');
    assert.equal(roleOf({ cordoned: true }), 'draining');
    assert.equal(roleOf({ active: true, cordoned: true, pipelines: 0 }), 'cordoned');
    assert.equal(roleOf({ active: true, silent: true }), 'silent');
  });
});

test('who follows a task is named, with how many commits are not there yet', () => {
  const followers = [
    { worker: 'b', behind: 0, fresh: true },
    { worker: 'c', behind: 1_200, fresh: false },
  ];
  assert.equal(resources.followersText({ followers }), 'b, c (−1,200)');
  assert.equal(resources.followersText({ followers: [] }), '–');
});

test('the workers of a pipeline are named where they are few', () => {
  const shown = (workers: readonly string[]) =>
    resources.pipelines.columns.find(({ head }) => head === 'WORKERS')!.cell({ ...pipeline, workers });
  assert.deepEqual([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(shown), ['–', 'a', 'a, b', '3']);
});
