/**
 * Trace contexts from the headers of what goes in to the headers of what comes out: through a reader, channels, state,
 * a second stage, and each way out.
 *
 *   in ──► dedupe by id ──┬─► owned (frames)      ──► keyBy group, process ──► rows of a second stage
 *                         ├─► shared
 *                         └─► at least once
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { headers } from 'nats';
import type { AdminClient } from '../../lib/control/client.ts';
import { eventually, running, Scene, textOf } from './scene.ts';

const PIPELINE = `import { pipeline } from 'millrace';
interface Event { id: string; group: string }
export default pipeline('traced', ({ from }) => {
  const unique = from<Event>('tr.in', { capture: { maxBytes: 2 ** 24 } })
    .keyBy('id')
    .dedupe({ id: event => event.id, within: '1h' });
  unique.to('tr.owned.{partition}');
  unique.to('tr.shared.{id}');
  unique.to('tr.loose.{id}', { mode: 'at-least-once', stream: 'tr_loose' });
  unique.keyBy('group').dedupe({ id: event => event.id, within: '1h', name: 'second' }).to('tr.second.{group}.{id}');
}, { partitions: 2 });
`;

let scene: Scene;
let client: AdminClient;
before(async () => {
  ({ scene, client } = await Scene.withWorker());
  await scene.log.ensureStream({ name: 'tr_loose', subjects: ['tr.loose.*'] });
});
after(() => scene.close());

const traceparent = (i: number) => `00-${String(i + 1).padStart(32, '0')}-${String(i + 1).padStart(16, '0')}-01`;

test('each result says which request it belongs to, and those of no request say none', async () => {
  await scene.deploy(client, { text: PIPELINE });
  await running(client, 'traced');
  for (let i = 0; i < 20; i++) {
    const head = headers();
    // Every other one is traced; the repeat of a record is of another request, and has no result.
    if (i % 2 === 0) {
      head.set('traceparent', traceparent(i));
      head.set('tracestate', `vendor=${i}`);
    }
    const body = JSON.stringify({ id: `e${i}`, group: `g${i % 3}` });
    scene.connection.publish('tr.in', body, { headers: head });
    head.set('traceparent', traceparent(99));
    scene.connection.publish('tr.in', body, { headers: head });
  }
  await scene.connection.flush();

  const single = ['tr.shared.*', 'tr.loose.*', 'tr.second.*.*'].map(subject =>
    scene.output(subject === 'tr.loose.*' ? 'tr_loose' : subject.split('.').slice(0, 2).join('_'), subject),
  );
  const owned = scene.output('tr_owned', 'tr.owned.*');
  await eventually('all results are there', async () => {
    const counts = await Promise.all(single.map(async output => (await output.read()).length));
    return (await owned.rows()).length === 20 && counts.every(count => count === 20);
  });
  for (const output of single) {
    for (const message of await output.read()) {
      const i = Number((JSON.parse(textOf(message)) as { id: string }).id.slice(1));
      assert.equal(message.headers?.traceparent, i % 2 === 0 ? traceparent(i) : undefined, message.subject);
      assert.equal(message.headers?.tracestate, i % 2 === 0 ? `vendor=${i}` : undefined, message.subject);
    }
  }
  for (const message of await owned.read()) {
    const ids = textOf(message)
      .split('\n')
      .filter(line => line !== '')
      .map(line => Number((JSON.parse(line) as { id: string }).id.slice(1)));
    const first = ids.find(i => i % 2 === 0);
    assert.equal(message.headers?.traceparent, first === undefined ? undefined : traceparent(first));
  }
});
