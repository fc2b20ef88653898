/**
 * Streams whose settings break a promise, in a plan and under pipelines that run: each is refused, told, or waited for, and
 * when it is mended the pipeline goes on with every row once. What each setting does is measured in `test/contract`.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { checkBroker } from '../../cmd/doctor/broker.ts';
import { checkWorker } from '../../cmd/doctor/worker.ts';
import { isMillraceError } from '../../lib/base/errors.ts';
import type { AdminClient } from '../../lib/control/client.ts';
import { askOrThrow } from '../../lib/nats/api.ts';
import { eventually, running, Scene, statusOf } from './scene.ts';

const textOf = (name: string, { mode = '', partition = true } = {}) => `import { pipeline } from 'millrace';
export default pipeline('${name}', ({ from }) => {
  from<{ id: string }>('${name}.in').to('${name}.out.${partition ? '{partition}' : '{id}'}'${mode});
});
`;

describe('streams of others', () => {
  let scene: Scene;
  let client: AdminClient;
  let log = '';
  const sent = new Map<string, number>();

  before(async () => {
    scene = await Scene.open();
    const worker = scene.worker('worker', ['--log-format', 'json'], {}, text => {
      log += text;
    });
    await worker.start();
    client = scene.client(worker);
  });
  after(() => scene.close());

  const make = (name: string, config: object = {}) =>
    askOrThrow(scene.link, `STREAM.CREATE.${name}`, { name, storage: 'file', num_replicas: 1, ...config });

  async function edit(name: string, change: object): Promise<void> {
    const { config } = await askOrThrow<{ config: object }>(scene.link, `STREAM.INFO.${name}`);
    await askOrThrow(scene.link, `STREAM.UPDATE.${name}`, { ...config, ...change });
  }

  async function send(name: string): Promise<void> {
    const id = sent.get(name) ?? 0;
    sent.set(name, id + 1);
    await scene.log.appendAll([{ subject: `${name}.in`, data: Buffer.from(`{"id":"${id}"}`) }]);
  }

  async function judge(name: string): Promise<void> {
    const output = scene.output(`${name}_OUT`, `${name}.out.*`);
    const rows = () => output.rows();
    const wanted = Array.from({ length: sent.get(name)! }, (_, id) => `{"id":"${id}"}`);
    await eventually(`all rows of ${name} are there`, async () => (await rows()).length >= wanted.length);
    assert.deepEqual(await rows(), wanted, 'each once');
  }

  const refused = (text: string, why: RegExp) =>
    assert.rejects(
      scene.deploy(client, { text }),
      error => isMillraceError(error, 'PLAN_INVALID') && why.test(error.message),
    );

  test('that would lose rows, or let them wait for ever, are refused in the plan, with what to do', async () => {
    await make('QUEUE', { subjects: ['queue.in'], retention: 'workqueue' });
    await make('KNOWN', { subjects: ['known.in'], retention: 'interest' });
    await make('SILENT', { subjects: ['silent.in'] });
    await make('SILENT_OUT', { subjects: ['silent.out.>'], no_ack: true });
    await refused(textOf('queue'), /stream 'QUEUE' has retention: workqueue: .*STREAM\.CREATE\.QUEUE_copy/);
    await refused(textOf('known'), /'KNOWN' has retention: interest: .*nats stream edit KNOWN --retention limits/);
    await refused(textOf('silent'), /'SILENT_OUT' has no_ack: .*nats stream edit SILENT_OUT --ack/);
    await refused(textOf('silent', { mode: ", { mode: 'at-least-once' }" }), /'SILENT_OUT' has no_ack/);
  });

  test('that are edited under pipelines stop those that must not go on, and are told to the others', async () => {
    const names = ['drops', 'hushed', 'sealed', 'full', 'uncut', 'round', 'parted'];
    for (const name of names) {
      await make(name, { subjects: [`${name}.in`] });
      await make(`${name}_OUT`, {
        subjects: name === 'parted' ? ['parted.out.>', '_mr.parted.m.>'] : [`${name}.out.>`],
        allow_atomic: true,
        ...(name === 'full' ? { max_msgs: 1, discard: 'new' } : {}),
      });
      await send(name);
      await scene.deploy(client, { text: textOf(name, { partition: name !== 'parted' }) });
    }
    for (const name of names) await running(client, name);
    for (const name of names) await judge(name);
    const stopped = async (name: string, why: RegExp) => {
      const { status } = await statusOf(client, name, info => info.status.state === 'failed');
      assert.match(status.reason ?? '', why);
    };
    const waiting = (name: string, why: RegExp) => statusOf(client, name, info => why.test(info.status.reason ?? ''));

    const journal = await scene.ownStream('uncut');
    await edit('drops', { retention: 'interest' });
    await edit('hushed_OUT', { no_ack: true });
    await edit('sealed_OUT', { sealed: true });
    await edit('uncut_OUT', { max_age: 3_600_000_000_000 });
    await edit(journal!, { deny_purge: true });
    await edit('round', {
      sources: [{ name: 'round_OUT', subject_transforms: [{ src: 'round.out.*', dest: 'round.in' }] }],
    });
    // A part of what is sent to it in one batch has no place there any more.
    await edit('parted_OUT', { subjects: ['parted.out.0', '_mr.parted.m.>'] });
    await send('parted');
    await send('full');
    await stopped(
      'drops',
      /'drops' has retention: interest: .*nats stream edit drops --retention limits[\s\S]*millrace restart drops/,
    );
    await stopped('hushed', /'hushed_OUT' has no_ack: .*--ack[\s\S]*millrace restart hushed/);
    await stopped('sealed', /'sealed_OUT' has sealed: it takes nothing any more/);
    await stopped('round', /its stream 'round' copies from 'round_OUT', so records would go round for ever/);
    await stopped('parted', /'?parted_OUT'? does not keep the subject parted\.out\.1 \(it lists parted\.out\.0/);
    await waiting('full', /maximum messages exceeded/);
    await eventually('what promises less is told', () => log.includes("uncut_OUT' has max_age below 24h"));
    await eventually('what endangers a journal is told', () => log.includes(`${journal}' has deny_purge`));
    await send('uncut');
    await judge('uncut');

    const report = await checkBroker({ servers: scene.server.url }, { replicas: 1, bucket: 'millrace' });
    const findings = [...report.findings, ...(await checkWorker(client, report.streams))];
    const found = (check: string) =>
      findings.filter(one => one.check === check).map(({ verdict, text }) => `${verdict}: ${text}`);
    assert.match(found('stream drops').join('\n'), /^bad: source, retention: interest/);
    assert.match(found('stream hushed_OUT').join('\n'), /^bad: results, exactly once, no_ack/);
    assert.match(found('stream uncut_OUT').join('\n'), /^warn: results, exactly once, max_age below 24h/);
    assert.match(found(`stream ${journal}`).join('\n'), /^bad: changed by hand: deny_purge/);

    const revision = await client.restart('drops');
    const again = await statusOf(client, 'drops', info => info.revision === revision && info.status.state === 'failed');
    assert.match(again.status.reason ?? '', /'drops' has retention: interest/);
    await edit('drops', { retention: 'limits' });
    await edit('hushed_OUT', { no_ack: false });
    await edit('full_OUT', { max_msgs: -1 });
    for (const name of ['drops', 'hushed']) {
      await send(name);
      await client.restart(name);
    }
    for (const name of ['drops', 'hushed', 'full']) {
      await running(client, name);
      await judge(name);
    }
  });
});
