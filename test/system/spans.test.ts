/** Spans of traced records, as a collector gets them from a worker process. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { headers } from 'nats';
import { eventually, running, Scene } from './scene.ts';

interface Span {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly parentSpanId?: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, string | number>> }[];
}

interface Export {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly Span[] }[] }[];
}

const CONSUMER = 5;
const PRODUCER = 4;

/** A collector in memory. */
const spans: Span[] = [];
const paths = new Set<string>();
const collector = createServer((request, response) => {
  paths.add(request.url ?? '');
  bodyOf(request).then(
    body => {
      const { resourceSpans } = JSON.parse(body) as Export;
      spans.push(...resourceSpans.flatMap(one => one.scopeSpans).flatMap(one => one.spans));
      response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
    },
    error => response.writeHead(400).end(String(error)),
  );
});

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

let scene: Scene;
before(async () => {
  scene = await Scene.open();
  await new Promise<void>(resolve => collector.listen(0, '127.0.0.1', resolve));
  scene.closing.add(() => {
    collector.closeAllConnections();
    collector.close();
  });
});
after(() => scene.close());

const PIPELINE = `import { pipeline } from 'millrace';
interface Event { id: string }
export default pipeline('spans', ({ from }) => {
  from<Event>('sp.in', { capture: { maxBytes: 2 ** 24 } })
    .keyBy('id')
    .dedupe({ id: event => event.id, within: '1h' })
    .to('sp.out.{id}');
}, { partitions: 1 });
`;

test('a traced record has a span for its commit and one for its result, and an untraced one has none', async () => {
  const { port } = collector.address() as AddressInfo;
  const worker = scene.worker('worker', ['--otlp', `http://127.0.0.1:${port}`]);
  await worker.start();
  const client = scene.client(worker);
  await scene.deploy(client, { text: PIPELINE });
  await running(client, 'spans');
  const out = scene.output('sp_out', 'sp.out.*');
  scene.connection.publish('sp.in', '{"id":"plain"}');
  await eventually('the untraced one is out', async () => (await out.read()).length === 1);
  const [traceId, spanId] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
  const head = headers();
  head.set('traceparent', `00-${traceId}-${spanId}-01`);
  scene.connection.publish('sp.in', '{"id":"traced"}', { headers: head });
  await eventually('both are out', async () => (await out.read()).length === 2);
  // Stopping sends what waits.
  await worker.stop();
  await eventually(
    'the spans have come',
    () => spans.length >= 2,
    () => `${JSON.stringify(spans)} ${worker.said()}`,
  );
  assert.deepEqual([...paths], ['/v1/traces']);
  assert.deepEqual(spans.map(({ name, kind }) => `${name} ${kind}`).sort(), [
    `process spans/${spans.find(span => span.kind === CONSUMER)?.name.split('/')[1]} ${CONSUMER}`,
    `send sp.out.{id} ${PRODUCER}`,
  ]);
  for (const span of spans) {
    assert.equal(span.traceId, traceId, 'it belongs to the request');
    assert.equal(span.parentSpanId, spanId);
    assert.deepEqual(
      span.links?.map(link => [link.traceId, link.spanId]),
      [[traceId, spanId]],
    );
    assert.ok(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano));
    const attributes = new Map(span.attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
    assert.equal(attributes.get('messaging.system'), 'nats');
    assert.equal(attributes.get('millrace.pipeline'), 'spans');
    assert.equal(Number(attributes.get('messaging.batch.message_count')), 1);
  }
});
