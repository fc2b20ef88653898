/** What a bundle may do while it is loaded, and what then becomes of it: it is refused, and nothing else is disturbed. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { packageFile } from '../../../lib/base/package.ts';
import { type Bundle, bundlePipeline, hashOf } from '../../../lib/bundle/bundle.ts';
import { Planning } from '../../../lib/host/planning.ts';
import type { Broker } from '../../../lib/topology/broker.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-planning-'));
});
/** The bundle of a pipeline that is right. */
async function rightBundle(): Promise<Bundle> {
  const file = join(dir, 'right.ts');
  await writeFile(
    file,
    `import { pipeline } from 'millrace';
    export default pipeline('right', ({ from }) => { from('in', { capture: true }).to('out.{partition}'); });`,
  );
  return bundlePipeline(file);
}

after(() => rm(dir, { recursive: true, force: true }));

function planning(broker: Partial<Broker> = {}): Planning {
  const none: Broker = { streamsOf: () => Promise.resolve([]), info: () => Promise.resolve(null) };
  return new Planning({
    launcher: packageFile('cmd/plan-thread.mjs'),
    broker: { ...none, ...broker },
    dir,
    env: { GIVEN: 'yes' },
    given: ['GIVEN'],
    limitMs: 1_000,
  });
}

function bundleOf(text: string): Bundle {
  const code = Buffer.from(text);
  return { code, hash: hashOf(code), file: 'p.ts' };
}

const isRefused = (why: RegExp) => (error: unknown) =>
  isMillraceError(error, 'PLAN_INVALID') && error.message.startsWith('p.ts ') && why.test(error.message);

test('a pipeline is planned in a thread without a connection: what is known of streams is asked of us', async () => {
  const asked: string[] = [];
  const broker = {
    streamsOf: async (subject: string) => {
      asked.push(subject);
      return [];
    },
  };
  const { summary, text } = await planning(broker).plan(await rightBundle());
  assert.ok(asked.length > 0);
  assert.ok(summary.stages.length > 0);
  assert.deepEqual(JSON.parse(JSON.stringify(summary)), summary);
  assert.ok(text.startsWith(`pipeline ${summary.pipeline}`));
});

test('what the broker refuses is told as it is, so that whoever deploys may try again', async () => {
  const broker = { streamsOf: () => Promise.reject(new MillraceError('BROKER_UNAVAILABLE', 'no answer')) };
  const plan = planning(broker).plan(await rightBundle());
  await assert.rejects(plan, error => isMillraceError(error, 'BROKER_UNAVAILABLE'));
});

test('code that does not come to an end is refused, whether it runs or waits', async () => {
  const one = planning();
  const refused = isRefused(/did not come to an end/);
  await Promise.all(
    ['for (;;);', 'setInterval(() => {}, 9); await new Promise(() => {});'].map(text =>
      assert.rejects(one.plan(bundleOf(text)), refused),
    ),
  );
});

test('code sees what its thread is given of the environment and nothing else, and may ask for that alone', async () => {
  process.env.NATS_PASSWORD = 'secret';
  const seen = bundleOf(`throw new Error(JSON.stringify(process.env));`);
  const isSeen = (error: unknown) => error instanceof Error && error.message.includes('{"GIVEN":"yes"}');
  await assert.rejects(planning().plan(seen), isSeen);
  const asking = async (name: string) => {
    const file = join(dir, 'asking.ts');
    const text = `from('in', { capture: true }).to('out.{partition}')`;
    await writeFile(
      file,
      `import { pipeline } from 'millrace';
      export default pipeline('asking', ({ from }) => { ${text}; }, { env: ['${name}'] });`,
    );
    return planning().plan(await bundlePipeline(file));
  };
  const { summary, text } = await asking('GIVEN');
  assert.deepEqual(summary.env, ['GIVEN']);
  assert.match(text, /variables: .*\n {2}GIVEN$/);
  const isMissing = (error: unknown) =>
    isMillraceError(error, 'PLAN_INVALID') &&
    /needs the variable NATS_PASSWORD, .*--env NATS_PASSWORD$/.test(error.message);
  await assert.rejects(asking('NATS_PASSWORD'), isMissing);
});

test('code that ends its thread is refused, and so is what has no pipeline in it', async () => {
  for (const text of ['process.exit(0);', 'await new Promise(() => {});']) {
    const why =
      /ended its thread while it was loaded: process\.exit, or an await at its top level that never settles\?$/;
    await assert.rejects(planning().plan(bundleOf(text)), isRefused(why), text);
  }
  const none = planning().plan(bundleOf('export const a = 1;'));
  await assert.rejects(
    none,
    error => isMillraceError(error, 'PLAN_INVALID') && /no default export/.test(error.message),
  );
});

test('others have their turn, however many are refused', async () => {
  const one = planning();
  const plans = await Promise.allSettled(
    Array.from({ length: 5 }, (_, n) => one.plan(bundleOf(`throw new Error('no ${n}');`))),
  );
  for (const [n, plan] of plans.entries())
    assert.match(String((plan as PromiseRejectedResult).reason), new RegExp(`no ${n}`));
});

test('what is larger than it may be is refused with the limit by its name, before anybody is asked about it', async () => {
  const manyOf = async (count: number) => {
    const file = join(dir, `many-${count}.ts`);
    await writeFile(
      file,
      `import { pipeline } from 'millrace';
      export default pipeline('many', ({ from }) => {
        for (let i = 0; i < ${count}; i++) from('in.s' + i, { capture: true }).to('out.s' + i + '.{partition}');
      });`,
    );
    return bundlePipeline(file);
  };
  let asked = 0;
  const none: Broker = { streamsOf: () => Promise.resolve([]), info: () => Promise.resolve(null) };
  const streamsOf = async () => {
    asked++;
    return [];
  };
  const launcher = packageFile('cmd/plan-thread.mjs');
  const one = new Planning({ launcher, broker: { ...none, streamsOf }, dir, env: {}, given: null, limitMs: 30_000 });
  for (const [count, limit] of [
    [10_000, /at most 500 sources, operators and sinks \(NODES_MAX\)/],
    [100, /100 sources are more than a pipeline can have \(SOURCES_MAX 64\)/],
  ] as const) {
    await assert.rejects(one.plan(await manyOf(count)), (error: unknown) => {
      return isMillraceError(error, 'PLAN_INVALID') && limit.test(error.message);
    });
  }
  assert.equal(asked, 0);
});

test('fifty plans leave nothing: no file, whatever became of them, and no memory', async () => {
  const clean = join(dir, 'clean');
  const planningWithin = (limitMs: number) =>
    new Planning({
      launcher: packageFile('cmd/plan-thread.mjs'),
      broker: null,
      dir: clean,
      env: {},
      given: null,
      limitMs,
    });
  const right = await rightBundle();
  const texts = ['for (;;);', 'process.exit(0);', "throw new Error('no');"];
  await Promise.allSettled(texts.map(text => planningWithin(1_000).plan(bundleOf(text))));
  const one = planningWithin(30_000);
  const many = async (count: number) => {
    for (let i = 0; i < count; i += 2) await Promise.all([one.plan(right), one.plan(right)]);
  };
  await many(4);
  const before = process.memoryUsage().rss;
  await many(50);
  const grown = (process.memoryUsage().rss - before) / 2 ** 20;
  assert.deepEqual(await readdir(clean), []);
  // Each took 2.4 MB for ever where all were loaded into one thread.
  assert.ok(grown < 60, `${grown.toFixed()} MiB more`);
});
