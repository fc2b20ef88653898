/** The watch over the streams of a pipeline that runs, on virtual time: what it tells, how often, and what it stops. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { Random } from '../../../lib/base/random.ts';
import { StreamWatch } from '../../../lib/engine/stream-watch.ts';
import { pipeline } from '../../../lib/index.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { PLAIN_CONFIG, type StreamConfig } from '../../../lib/port/stream-config.ts';
import { planned } from '../topology/broker.ts';

const OWN: Partial<StreamConfig> = { discard: 'new' };

describe('the watch over streams', () => {
  let clock: SimClock;
  let watch: StreamWatch;
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
      streamsOf: async () => ['IN'],
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
    const deployment = { pipeline: 'p', life: '1' };
    watch = new StreamWatch({ plan, deployment, log, clock, observer }, error => refused.push(error));
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
    assert.deepEqual(told, ['stream.edited error MR_p_1_journal', 'stream.edited error MR_p_letters']);
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
});
