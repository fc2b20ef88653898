/**
 * Requests of all kinds against every method: well-formed ones with values at the edges, mutated ones, and random bytes.
 * Each is answered with a proper status, and afterwards the server is as well as before.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { SERVICES, type ServiceName, serviceSchema } from '../../../lib/control/schema.ts';
import { fakeBundle, until } from '../host/fakes.ts';
import { Serving } from './serving.ts';

const REQUESTS = 10_000;
const AT_ONCE = 50;
const seed = Number(process.env.FUZZ_SEED ?? 1);

const METHODS = (Object.keys(SERVICES) as ServiceName[]).flatMap(name => Object.values(serviceSchema(name)));
/** A deadline is a proper end of a watch; anything that says that we were not prepared is not. */
const PROPER = new Set([
  status.OK,
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.FAILED_PRECONDITION,
  status.ABORTED,
  status.RESOURCE_EXHAUSTED,
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
]);

let state = seed * 2_654_435_761;
/** A whole number below `max`. */
function dice(max: number): number {
  state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
  return Math.floor((((state ^ (state >>> 13)) >>> 0) / 2 ** 32) * max);
}
const oneOf = <T>(all: readonly T[]): T => all[dice(all.length)]!;
const noise = (bytesMax: number) => Buffer.from(Array.from({ length: dice(bytesMax) }, () => dice(256)));

const TEXTS = [
  '',
  'p',
  'q',
  'join-1',
  '"e1"',
  '7',
  '{',
  '{"a":1}',
  '["de",{"bigint":"7"}]',
  '"\\ud800"',
  '\u0000',
  'ü'.repeat(300),
  '__proto__',
  'a.>',
];
const NUMBERS = [0, 1, -1, 3, 99, 100, 1_000, 1_001, 2 ** 31 - 1, -(2 ** 31), 2 ** 53 - 1];

/** Seldom a long one: most of the time would go into copying it. */
const text = () => (dice(300) === 0 ? 'x'.repeat(70_000) : oneOf(TEXTS));

/** A value for any field of any request: names that no message has are left out by the encoder. */
function valuesOfAll(): object {
  const filter =
    dice(5) === 0
      ? null
      : {
          pipeline: text(),
          kind: dice(4),
          operator: text(),
          numbers: [oneOf(NUMBERS)],
          sinceMs: oneOf(NUMBERS),
        };
  const bundle = oneOf([
    null,
    fakeBundle('p'),
    fakeBundle('p', { salt: String(dice(9)) }),
    { code: noise(50), hash: text(), file: text() },
  ]);
  return {
    ...(bundle === null ? {} : { bundle }),
    ...(filter === null ? {} : { filter }),
    name: text(),
    pipeline: text(),
    operator: text(),
    service: text(),
    stage: text(),
    table: text(),
    keyJson: text(),
    pageToken: text(),
    toSubject: text(),
    partition: oneOf(NUMBERS.filter(number => Math.abs(number) <= 2 ** 31)),
    pageSize: oneOf([0, 1, -1, 1_000, 1_001]),
    intervalMs: oneOf([0, 100, 5, -1]),
    past: oneOf([0, 5, -1, 1_000_000]),
    number: oneOf(NUMBERS),
    level: dice(7),
    dryRun: dice(2) === 0,
    purge: false,
    pastOnly: true,
  };
}

function requestOf(encode: (value: object) => Buffer): Buffer {
  const kind = dice(10);
  if (kind < 2) return noise(200);
  const bytes = Buffer.from(encode(valuesOfAll()));
  if (kind < 6) return bytes;
  for (let i = dice(4); i >= 0 && bytes.length > 0; i--) bytes[dice(bytes.length)] = dice(256);
  return kind < 8 ? bytes : bytes.subarray(0, dice(bytes.length + 1));
}

let serving: Serving;
before(() => {
  serving = new Serving();
});
after(() => serving.stop());

test('ten thousand random requests are all answered properly, and leave the server well', {
  timeout: 300_000,
}, async () => {
  const { worker, client, engine, address, observer } = await serving.worker('a', { leaseMs: 600_000 });
  await worker.start();
  await client.deploy(fakeBundle('p'));
  await until('it runs', () => engine.running.length === 1);
  const raw = new Client(address, credentials.createInsecure(), { 'grpc.max_receive_message_length': -1 });
  serving.onStop(() => raw.close());
  const counts = new Map<string, number>();
  const improper: string[] = [];
  const same = (value: Buffer) => value;
  let sent = 0;
  const one = async () => {
    const method = METHODS[sent++ % METHODS.length]!;
    const request = requestOf(method.requestSerialize as (value: object) => Buffer);
    const code = await new Promise<status>(resolve => {
      const options = { deadline: Date.now() + (method.path.includes('Watch') ? 60 : 20_000) };
      const stream = raw.makeServerStreamRequest(method.path, same, same, request, options);
      stream.on('data', () => {});
      stream.on('error', (error: ServiceError) => resolve(error.code));
      stream.on('end', () => resolve(status.OK));
    });
    const name = status[code];
    counts.set(name, (counts.get(name) ?? 0) + 1);
    if (!PROPER.has(code)) improper.push(`${method.path} ${name} ${request.toString('hex').slice(0, 400)}`);
  };
  const heapOf = () => process.memoryUsage().heapUsed + process.memoryUsage().external;
  let heapEarly = 0;
  const lane = async () => {
    while (sent < REQUESTS) {
      if (sent >= REQUESTS / 10 && heapEarly === 0) heapEarly = heapOf();
      await one();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  assert.deepEqual(improper, [], `seed ${seed}`);
  assert.ok(counts.size >= 4, JSON.stringify([...counts]));
  const unexpected = observer.events.filter(({ event, code }) => event === 'call.failed' && code === 'UNEXPECTED');
  assert.deepEqual(unexpected, []);
  assert.equal((await client.info()).worker, 'a');
  assert.ok(heapOf() - heapEarly < 300 * 1024 * 1024, `the heap grew by ${heapOf() - heapEarly} bytes`);
});

test('reflection answers whatever it is sent, and answers on', async () => {
  const { address, client } = await serving.worker('b');
  const raw = new Client(address, credentials.createInsecure());
  serving.onStop(() => raw.close());
  const same = (value: Buffer) => value;
  const ask = (request: Buffer) =>
    new Promise<status>(resolve => {
      const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
      const stream = raw.makeServerStreamRequest(path, same, same, request, { deadline: Date.now() + 20_000 });
      stream.on('data', () => {});
      stream.on('error', (error: ServiceError) => resolve(error.code));
      stream.on('end', () => resolve(status.OK));
    });
  // What cannot be decoded is answered by the library, which calls it internal.
  const proper = new Set([status.OK, status.INTERNAL]);
  for (let i = 0; i < 500; i++) {
    const symbol = Buffer.from(oneOf(['constructor', '__proto__', 'toString', 'grpc.health.v1.Health', '']));
    const request = dice(2) === 0 ? noise(60) : Buffer.concat([Buffer.from([0x22, symbol.length]), symbol]);
    const code = await ask(request);
    assert.ok(proper.has(code), `${request.toString('hex')}: ${status[code]}`);
  }
  assert.equal((await client.info()).worker, 'b');
});
