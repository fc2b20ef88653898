/** The watch over the streams of a pipeline that runs, on virtual time: what it tells, how often, and what it stops. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { Random } from '../../../lib/base/random.ts';
import { StreamWatch, type StreamWatchOptions } from '../../../lib/engine/stream-watch.ts';
import { pipeline } from '../../../lib/index.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { PLAIN_CONFIG, type StreamConfig } from '../../../lib/port/stream-config.ts';
import { type KnownStream, planned } from '../topology/broker.ts';

const OWN: Partial<StreamConfig> = { discard: 'new' };
const DAY_MS = 86_400_000;

describe('the watch over streams', () => {
  let clock: SimClock;
  let watch: StreamWatch;
  let around: Omit<StreamWatchOptions, 'plan'>;
  let configs: Record<string, Partial<StreamConfig>>;
  let failure: Error | null;
  const told: string[] = [];
  const refused: unknown[] = [];

  beforeEach(async () => {
    clock = new SimClock({ random: new Random(1) });
    configs = { IN: { maxMsgsPerSubject: 1 }, OUT: {}, MR_p_1_journal: OWN, MR_p_letters: { allowAtomic: true } };
    failure = null;
    told.length = 0;
    refused.length = 0;
    const plan = await planned(
      pipeline('p', ({ from }) => from('in.a').to('out.{partition}')),
      ['IN', 'OUT'].map(name => ({ name, subjects: [`${name.toLowerCase()}.>`], config: configs[name]! })),
    );
    const log = {
      streamsOf: async () => Object.keys(configs).filter(name => /^in/i.test(name)),
      info: async (name: string) => {
        if (failure !== null) throw failure;
        const config = configs[name];
        const rest = {
          subjects: [`${name.toLowerCase()}.>`],
          created: '',
          firstSeq: 1,
          lastSeq: 0,
          messages: 0,
          bytes: 0,
        };
        return config === undefined ? null : { ...rest, name, config: { ...PLAIN_CONFIG, ...config } };
      },
    };
    const observer = {
      emit: (event: { event: string; level: string; stream?: unknown }) =>
        told.push(`${event.event} ${event.level} ${event.stream}`),
    };
    around = { deployment: { pipeline: 'p', life: '1' }, log, clock, observer };
    watch = new StreamWatch({ plan, ...around }, error => refused.push(error));
    watch.start();
  });

  const pass = () => clock.run(clock.monotonic() + 20_000);

  test('says nothing of what the plan has said, and of a change once, until it is taken back', async () => {
    await pass();
    assert.deepEqual(told, []);
    configs.OUT = { storage: 'memory' };
    await pass();
    assert.deepEqual(told, ['stream.edited warn OUT']);
    configs.OUT = {};
    await pass();
    configs.OUT = { storage: 'memory' };
    await pass();
    assert.deepEqual(told, ['stream.edited warn OUT', 'stream.edited warn OUT']);
    assert.deepEqual(refused, []);
  });

  test('stops the pipeline for what a plan would be refused for', async () => {
    configs.OUT = { noAck: true };
    await pass();
    assert.equal(told[0], 'stream.edited error OUT');
    const [error] = refused;
    assert.ok(isMillraceError(error, 'BROKER_REFUSED') && error.fate === 'stop');
    assert.match(error.message, /^stream 'OUT' has no_ack: [\s\S]*--ack[\s\S]*Then: millrace restart p$/);
  });

  test('tells of what endangers streams of our own, and leaves it to their chains to stop', async () => {
    configs.MR_p_1_journal = { ...OWN, denyPurge: true };
    configs.MR_p_letters = { allowAtomic: false };
    await pass();
    const both = ['stream.edited error MR_p_1_journal', 'stream.edited error MR_p_letters'];
    assert.deepEqual(told.splice(0), both);
    configs.MR_p_1_journal = { ...OWN, subjectTransform: { src: '_mr.p.j.>', dest: 'moved.>' } };
    configs.MR_p_letters = { allowAtomic: true, subjectTransform: { src: 'millrace.*.dead.>', dest: 'dead.>' } };
    await pass();
    assert.deepEqual(told, both);
    assert.deepEqual(refused, []);
  });

  test('asks again when the broker is away, says nothing of a stream that is gone, and ends when it is told to', async () => {
    failure = new MillraceError('BROKER_UNAVAILABLE', 'away');
    configs.OUT = { noAck: true };
    await pass();
    delete configs.OUT;
    failure = null;
    await pass();
    assert.deepEqual([told, refused], [[], []]);
    configs.OUT = { sealed: true };
    watch.stop();
    await pass();
    assert.deepEqual([told, refused], [[], []]);
  });

  test('finds what was made for the pipeline as it was made, which is no edit; what is edited from then on is', async () => {
    watch.stop();
    const made: KnownStream[] = [];
    const captured = pipeline('p', ({ from }) =>
      from('in.*', { capture: { maxAge: '1d', maxBytes: 1_000 } }).to('out.{partition}'),
    );
    const begin = async () => {
      const plan = await planned(captured, made);
      watch.stop();
      watch = new StreamWatch({ plan, ...around }, error => refused.push(error));
      watch.start();
      await pass();
      return plan;
    };
    const [alone, limits] = [{ isClustered: true }, { maxAgeMs: DAY_MS, maxBytes: 1_000 }];
    configs = { in: { ...alone, ...limits }, out: alone, MR_p_1_journal: { ...alone, ...OWN } };
    await begin();
    assert.deepEqual(told, []);
    configs = { in: limits, out: {}, MR_p_1_journal: OWN };
    made.push({ name: 'in', subjects: ['in.>'], config: limits }, { name: 'out', subjects: ['out.*'] });
    assert.deepEqual((await begin()).warnings, []);
    configs.in = { ...limits, maxBytes: 2_000 };
    await pass();
    assert.deepEqual(told, []);
    configs.in = { ...limits, maxBytes: 500 };
    await pass();
    assert.deepEqual(told, ['stream.edited warn in']);
    configs.MR_p_1_journal = { ...OWN, ...alone };
    await pass();
    assert.equal(told[1], 'stream.edited warn MR_p_1_journal');
  });
});
