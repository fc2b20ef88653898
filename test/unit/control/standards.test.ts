/**
 * What tools of others expect of a gRPC server: reflection, health checks, deadlines, and error details that any language
 * can read.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import protobufjs from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor.js';
import { MillraceError } from '../../../lib/base/errors.ts';
import { packageFile } from '../../../lib/base/package.ts';
import { Channel } from '../../../lib/control/channel.ts';
import { toStatus } from '../../../lib/control/errors.ts';
import { fileDescriptors } from '../../../lib/control/reflection.ts';
import { methodSchema, SERVICES, type ServiceName, serviceSchema } from '../../../lib/control/schema.ts';
import type { MethodName, Request } from '../../../lib/control/wire.ts';
import { ReflectionClient } from '../../rig/reflection.ts';
import { fakeBundle, until } from '../host/fakes.ts';
import { Serving } from './serving.ts';

let serving: Serving;
beforeEach(() => {
  serving = new Serving();
});
afterEach(() => serving.stop());

function generic(address: string, version: 'v1' | 'v1alpha' = 'v1'): ReflectionClient {
  const client = new ReflectionClient(address, { version });
  serving.onStop(() => client.close());
  return client;
}

/** The public schema of error details, as another language would have it. */
const RPC = protobufjs.parse(
  `syntax = "proto3"; package google.rpc;
   message Any { string type_url = 1; bytes value = 2; }
   message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
   message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
   message BadRequest { message FieldViolation { string field = 1; string description = 2; }
     repeated FieldViolation field_violations = 1; }
   message PreconditionFailure { message Violation { string type = 1; string subject = 2; string description = 3; }
     repeated Violation violations = 1; }`,
  { keepCase: true },
).root;

interface Detail {
  reason?: string;
  domain?: string;
  field_violations?: { field: string; description: string }[];
  violations?: { type: string; subject: string; description: string }[];
}

function detailsOf(error: Pick<ServiceError, 'metadata' | 'code'>): Record<string, Detail> {
  const [bytes] = error.metadata.get('grpc-status-details-bin') as Buffer[];
  const whole = RPC.lookupType('google.rpc.Status').decode(bytes!) as unknown as {
    code: number;
    details: { type_url: string; value: Uint8Array }[];
  };
  assert.equal(whole.code, error.code);
  return Object.fromEntries(
    whole.details.map(({ type_url, value }) => {
      const name = type_url.replace('type.googleapis.com/', '');
      return [name, RPC.lookupType(name).decode(value) as Detail];
    }),
  );
}

interface FileShape {
  messageType: {
    name: string;
    field: { name: string; typeName?: string; proto3Optional?: boolean; jsonName?: string }[];
    nestedType: { name: string; options?: { mapEntry?: boolean } }[];
  }[];
}

describe('reflection', () => {
  for (const version of ['v1', 'v1alpha'] as const) {
    test(`${version} lists every service, and describes each so well that it can be called`, async () => {
      const { address, worker } = await serving.worker('a');
      await worker.start();
      const client = generic(address, version);
      const services = await client.services();
      for (const name of Object.values(SERVICES)) assert.ok(services.includes(name), `${name} is missing`);
      const [info] = await client.call('millrace.admin.v1.ServerService', 'GetServerInfo', {});
      assert.equal((info as { worker: string }).worker, 'a');
      const bundle = fakeBundle('p');
      const [deployed] = await client.call('millrace.admin.v1.PipelineService', 'DeployPipeline', { bundle });
      assert.deepEqual(deployed, {
        name: 'p',
        revision: 1,
        outcome: 'DEPLOY_OUTCOME_CREATED',
        paused: false,
        notices: [],
      });
      const [health] = await client.call('grpc.health.v1.Health', 'Check', { service: '' });
      assert.deepEqual(health, { status: 'SERVING' });
    });
  }

  test('has the descriptors that other languages accept: fields as in the proto, maps, optional fields', async () => {
    const files = fileDescriptors().map(file => descriptor.FileDescriptorProto.decode(file)) as unknown as FileShape[];
    const messages = files.flatMap(file => file.messageType);
    const counts = messages.find(({ name }) => name === 'PipelineCounts')!;
    assert.equal(
      counts.field.find(({ name }) => name === 'dropped')!.typeName,
      '.millrace.admin.v1.PipelineCounts.DroppedEntry',
    );
    assert.deepEqual(
      counts.nestedType.map(({ name, options }) => [name, options?.mapEntry]),
      [['DroppedEntry', true]],
    );
    const time = messages
      .find(({ name }) => name === 'SourceStatus')!
      .field.find(({ name }) => name === 'watermark_ms')!;
    assert.deepEqual([time.proto3Optional, time.jsonName], [true, 'watermarkMs']);
    assert.ok(messages.some(({ name }) => name === 'BadRequest'));
  });

  test('says of an absent optional field that it is absent', async () => {
    const { address, worker, client, engine } = await serving.worker('a');
    await worker.start();
    await client.deploy(fakeBundle('p'));
    await until('it runs', () => engine.running.length === 1);
    const answers = await generic(address).call('millrace.admin.v1.PipelineService', 'GetPipeline', { name: 'p' });
    const [{ pipeline }] = answers as [{ pipeline: { status: { sources: object[]; reason?: string } } }];
    assert.ok(!('lag' in pipeline.status.sources[0]!));
    assert.ok(!('reason' in pipeline.status));
  });
});

describe('the schema', () => {
  test('still has every method that was published', () => {
    const set = descriptor.FileDescriptorSet.decode(readFileSync(packageFile('proto/baseline.binpb')));
    const { file } = set as unknown as { file: { service: { name: string; method: { name: string }[] }[] }[] };
    assert.equal(file.flatMap(({ service }) => service).length, 5);
    for (const { name, method } of file.flatMap(({ service }) => service)) {
      const served = serviceSchema(name as ServiceName);
      for (const one of method) assert.ok(served[one.name] !== undefined, `${name} has no ${one.name} any more`);
    }
  });
});

describe('health', () => {
  test('is told for the server and for each service, and follows the worker', async () => {
    const { address, facts } = await serving.worker('a');
    const client = generic(address);
    const check = async (service: string) => (await client.call(SERVICES.Health, 'Check', { service }))[0];
    for (const service of ['', SERVICES.PipelineService, SERVICES.ServerService]) {
      assert.deepEqual(await check(service), { status: 'SERVING' });
    }
    facts.healthy = false;
    assert.deepEqual(await check(''), { status: 'NOT_SERVING' });
    await assert.rejects(check('no.such.Service'), (error: ServiceError) => error.code === status.NOT_FOUND);
    const channel = new Channel({ address });
    serving.onStop(() => channel.close());
    const { statuses } = await channel.call('List', {});
    assert.deepEqual(statuses[SERVICES.LetterService], { status: 'NOT_SERVING' });
  });

  test('can be watched: the status at once, then each change, and the end when the server stops', async () => {
    const { address, facts, server } = await serving.worker('a');
    const { path, requestSerialize, responseDeserialize } = methodSchema('Watch');
    const client = new Client(address, credentials.createInsecure());
    serving.onStop(() => client.close());
    const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { service: '' });
    const seen: string[] = [];
    const ended = new Promise<void>(resolve => stream.on('end', resolve));
    stream.on('data', ({ status }: { status: string }) => seen.push(status));
    await until('it is said', () => seen.length === 1);
    facts.healthy = false;
    await until('the change is said', () => seen.length === 2);
    facts.healthy = true;
    await until('that one too', () => seen.length === 3);
    await server.stop({ deadlineMs: 5_000 });
    await ended;
    assert.deepEqual(seen, ['SERVING', 'NOT_SERVING', 'SERVING']);
  });
});

/** A raw call: the error as the library has it. */
function fail<M extends MethodName>(address: string, name: M, request: Request<M>, deadlineMs = 5_000) {
  const client = new Client(address, credentials.createInsecure());
  serving.onStop(() => client.close());
  const { path, requestSerialize, responseDeserialize } = methodSchema(name);
  return new Promise<ServiceError>((resolve, reject) => {
    const deadline = Date.now() + deadlineMs;
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline }, error =>
      error === null ? reject(new Error('it was answered')) : resolve(error),
    );
  });
}

describe('error details', () => {
  test('name all fields that are wrong at once, by their paths in the proto', async () => {
    const { address } = await serving.worker('a');
    const filter = { pipeline: '', kind: 9, operator: '', code: '', numbers: [0], sinceMs: -1 };
    const request = { filter, pageSize: 5_000, pageToken: 'x'.repeat(2_000), content: false };
    const error = await fail(address, 'ListLetters', request);
    assert.equal(error.code, status.INVALID_ARGUMENT);
    const details = detailsOf(error);
    assert.deepEqual(
      details['google.rpc.BadRequest']!.field_violations!.map(({ field }) => field),
      ['filter.pipeline', 'filter.kind', 'filter.numbers', 'filter.since_ms', 'page_size', 'page_token'],
    );
    const { reason, domain } = details['google.rpc.ErrorInfo']!;
    assert.deepEqual([reason, domain], ['INVALID_ARGUMENT', 'millrace']);
  });

  test('list the mistakes of a bundle, each with its place', async () => {
    const { address, judge } = await serving.worker('a');
    judge.planError = new MillraceError('PLAN_INVALID', 'p.ts:1:2: first\n    its source\np.ts:3:4: second');
    const error = await fail(address, 'PlanPipeline', { bundle: fakeBundle('p') });
    const { field_violations } = detailsOf(error)['google.rpc.BadRequest']!;
    assert.deepEqual(
      field_violations!.map(({ field, description }) => [field, description]),
      [
        ['bundle', 'p.ts:1:2: first\n    its source'],
        ['bundle', 'p.ts:3:4: second'],
      ],
    );
  });

  test('say of an incompatible bundle which conditions are not met', async () => {
    const { address, client } = await serving.worker('a');
    await client.deploy(fakeBundle('p'));
    const error = await fail(address, 'DeployPipeline', {
      bundle: fakeBundle('p', { shape: 'b' }),
      dryRun: false,
      takeOver: false,
    });
    assert.equal(error.code, status.FAILED_PRECONDITION);
    const { violations } = detailsOf(error)['google.rpc.PreconditionFailure']!;
    assert.deepEqual(
      violations!.map(({ type, subject, description }) => [type, subject, description]),
      [['PLAN_INCOMPATIBLE', 'p', 'shape was a, now b']],
    );
  });

  test('fit into the headers of every client, however much there is to say', () => {
    const mistakes = Array.from({ length: 500 }, (_, line) => `päth/pipeline.ts:${line}:1: ${'wrong '.repeat(20)}`);
    for (const error of [
      new MillraceError('PLAN_INVALID', mistakes.join('\n')),
      new MillraceError('PLAN_INVALID', '\u{1f600}'.repeat(50_000)),
      new MillraceError('PLAN_INCOMPATIBLE', `pipeline p:\n${mistakes.map(line => `  - ${line}`).join('\n')}`),
    ]) {
      const { details, metadata, code } = toStatus(error);
      const [bytes] = metadata.get('grpc-status-details-bin') as Buffer[];
      assert.ok(encodeURI(details).length + bytes!.toString('base64').length < 8_000);
      const decoded = detailsOf({ metadata, code });
      const list =
        decoded['google.rpc.BadRequest']?.field_violations ?? decoded['google.rpc.PreconditionFailure']?.violations;
      assert.ok(list!.length === 1 || /^and \d+ more$/.test(list!.at(-1)!.description));
    }
  });

  test('of what nobody expected are no more than that; the log has the rest', async () => {
    const { address, judge, observer } = await serving.worker('a');
    judge.planError = new TypeError('secret thing');
    const error = await fail(address, 'PlanPipeline', { bundle: fakeBundle('p') });
    assert.equal(error.code, status.INTERNAL);
    assert.ok(!JSON.stringify([error.details, error.metadata.toJSON()]).includes('secret'));
    assert.match(error.details, /its log says how/);
    const logged = observer.events.find(({ event }) => event === 'call.failed');
    assert.match(String(logged?.message), /secret thing/);
  });

  test('carry texts that no encoding can say', async () => {
    const { address } = await serving.worker('a');
    const request = { pipeline: 'p', operator: 'o', keyJson: '{"\\ud800":1}' };
    assert.equal((await fail(address, 'GetEntries', request)).code, status.INVALID_ARGUMENT);
    assert.match(toStatus(new MillraceError('NOT_FOUND', 'no \ud800')).details, /no \ufffd/);
  });
});

describe('requests that are none', () => {
  /** The error that these bytes are answered with. */
  const send = (address: string, name: MethodName, bytes: Buffer) => {
    const client = new Client(address, credentials.createInsecure(), { 'grpc.max_send_message_length': -1 });
    serving.onStop(() => client.close());
    const same = (value: Buffer) => value;
    return new Promise<ServiceError>((resolve, reject) => {
      client.makeUnaryRequest(methodSchema(name).path, same, same, bytes, error =>
        error === null ? reject(new Error('it was answered')) : resolve(error),
      );
    });
  };

  test('are refused as such, with the code of the error', async () => {
    const { address } = await serving.worker('a');
    const error = await send(address, 'GetPipeline', Buffer.from([0x7f, 0x01]));
    assert.equal(error.code, status.INVALID_ARGUMENT);
    assert.match(error.details, /no message of GetPipeline/);
    assert.equal(detailsOf(error)['google.rpc.ErrorInfo']!.reason, 'INVALID_ARGUMENT');
  });

  test('are refused above 4 MiB, where they bring no bundle', async () => {
    const { address, client } = await serving.worker('a');
    const name = Buffer.alloc(5 * 1024 * 1024, 'x');
    const bytes = Buffer.from(methodSchema('GetPipeline').requestSerialize({ name: name.toString() }));
    const error = await send(address, 'GetPipeline', bytes);
    assert.equal(error.code, status.RESOURCE_EXHAUSTED);
    const bundle = fakeBundle('p', { salt: name.toString() });
    assert.equal((await client.plan(bundle)).outcome, 'created');
  });

  test('of methods that there are not are told so', async () => {
    const { address } = await serving.worker('a');
    const client = new Client(address, credentials.createInsecure());
    serving.onStop(() => client.close());
    const same = (value: Buffer) => value;
    const error = await new Promise<ServiceError | null>(resolve =>
      client.makeUnaryRequest('/millrace.admin.v1.AdminService/X', same, same, Buffer.alloc(0), resolve),
    );
    assert.equal(error?.code, status.UNIMPLEMENTED);
  });
});

describe('deadlines', () => {
  test('of the caller end a call, and its work with it', async () => {
    const { address, client, letters } = await serving.worker('a');
    let release = () => {};
    letters.until = new Promise(resolve => (release = resolve));
    letters.progress = [{ seen: 1, replayed: 1, skipped: 0, total: 2, reasons: [] }];
    const { path, requestSerialize, responseDeserialize } = methodSchema('ReplayLetters');
    const raw = new Client(address, credentials.createInsecure());
    serving.onStop(() => raw.close());
    const filter = { pipeline: 'p', kind: 0, operator: '', code: '', numbers: [], sinceMs: 0 };
    const request = { filter, toSubject: '', dryRun: false, keep: false };
    const options = { deadline: Date.now() + 300 };
    const stream = raw.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, options);
    stream.on('data', () => {});
    const error = await new Promise<ServiceError>(resolve => stream.on('error', resolve));
    assert.equal(error.code, status.DEADLINE_EXCEEDED);
    release();
    await until('the replay is broken off', () => letters.broken === 1);
    assert.equal((await client.info()).worker, 'a');
  });

  test('go along when a call is passed on', async () => {
    const { client, commands } = await serving.worker('a', { client: { timeoutMs: 400 } });
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    const slow = Object.assign(Object.create(commands) as typeof commands, {
      tasks: () => new Promise<never>(() => {}),
      as: () => slow,
    });
    const active = await serving.server({ ...serving.options(), commands: slow });
    const worker = { name: 'b', active: false, holder: { name: 'a', address: active.address } };
    const standby = await serving.server({ ...serving.options(), worker });
    const asking = serving.client(standby.address, { timeoutMs: 400 });
    await assert.rejects(asking.tasks(), /did not answer in time/);
    assert.equal((await client.info()).worker, 'a');
  });
});
