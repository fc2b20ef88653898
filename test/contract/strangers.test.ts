/**
 * The log port where somebody answers in JetStream's place: a core subscriber sees every message with the subject that its
 * answer goes to, and is faster than the stream.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect, headers, type NatsConnection } from 'nats';
import { sleep, systemClock } from '../../lib/base/clock.ts';
import { isMillraceError } from '../../lib/base/errors.ts';
import { Chain } from '../../lib/chain/chain.ts';
import { askOrThrow } from '../../lib/nats/api.ts';
import { connectNats, type LinkStatus, type NatsLink } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import { NOTHING } from '../../lib/nats/wire-writer.ts';
import { freePort } from '../rig/worker-process.ts';
import { bytes, take, text } from './log-rig.ts';

const refusal = (code: number, errCode: number) =>
  JSON.stringify({ error: { code, err_code: errCode, description: 'so there' }, stream: 'OUT', seq: 0 });

/** None of them is believed. */
const NONSENSE = [
  'OK',
  '',
  '{}',
  '{"seq":1}',
  '{"stream":"other","seq":1}',
  '{"stream":"OUT","seq":0}',
  '{"error":{"code":503}}',
];

describe('JetStream, where others answer, too', () => {
  let server: NatsServer;
  let stranger: NatsConnection;
  let link: NatsLink;
  let log: NatsLog;
  const told: Extract<LinkStatus, { kind: 'misanswered' }>[] = [];
  /** What the stranger answers to each message, and to how many. */
  let answers: readonly string[] = [];
  let messagesLeft = 0;
  let answered = 0;

  before(async () => {
    // Synced, the stream is slower than whoever only answers.
    server = await startServer({ config: { syncAlways: true } });
    link = await connectNats({ servers: server.url, answerMs: 20_000 });
    link.onStatus(status => {
      if (status.kind === 'misanswered') told.push(status);
    });
    log = new NatsLog(link);
    await log.ensureStream({ name: 'OUT', subjects: ['out.>'], atomic: true });
    stranger = await connect({ servers: server.url });
    for (const subject of ['out.>', '$JS.API.>', 'elsewhere.>']) {
      stranger.subscribe(subject, {
        callback: (_, message) => {
          if (message.reply === undefined || message.reply === '' || messagesLeft-- <= 0) return;
          for (const answer of answers) {
            answered++;
            stranger.publish(message.reply, answer);
          }
        },
      });
    }
    await stranger.flush();
  });

  after(async () => {
    await stranger.close();
    await link.close();
    await server.stop();
  });

  test('an append lands where the stream says, and the nonsense is told once', async () => {
    answers = NONSENSE;
    messagesLeft = Number.POSITIVE_INFINITY;
    answered = 0;
    const stream = 'OUT';
    let last = 0;
    for (let i = 0; i < 20 || (told.length === 0 && i < 1_000); i++) {
      const outcome = await log.append({ stream, subject: 'out.chain', data: bytes(`${i}`), expect: last });
      assert.ok(outcome.kind === 'landed');
      last = outcome.seq;
    }
    assert.equal((await log.append({ stream, subject: 'out.chain', data: bytes('late'), expect: 1 })).kind, 'moved');
    assert.equal((await log.last({ stream, subject: 'out.chain' }))?.seq, last);
    assert.ok(answered >= 21 * NONSENSE.length);
    const [first, ...others] = told.filter(({ subject }) => subject === 'out.chain');
    assert.equal(first?.isNews, true);
    assert.match(
      first!.message,
      /'OK' is no answer of JetStream's.*nats account report connections --subject out\.chain/,
    );
    assert.deepEqual(others, []);
  });

  test('batches, and appends without fences, land whole', async () => {
    answers = NONSENSE;
    messagesLeft = Number.POSITIVE_INFINITY;
    const messages = Array.from({ length: 5 }, (_, i) => ({
      stream: 'OUT',
      subject: `out.batch.${i}`,
      data: bytes(`${i}`),
      ...(i === 0 ? { expect: 0 } : {}),
    }));
    const outcome = await log.appendBatch(messages);
    assert.ok(outcome.kind === 'landed');
    assert.equal((await log.last({ stream: 'OUT', subject: 'out.batch.4' }))?.seq, outcome.seq);
    assert.equal((await log.appendBatch(messages)).kind, 'moved');
    const many = Array.from({ length: 200 }, (_, i) => ({ subject: 'out.many', data: bytes(`${i}`) }));
    await log.appendAll(many);
    const reader = log.read({ stream: 'OUT', subjects: ['out.many'], from: 1 });
    const kept = await take(reader, many.length);
    await reader.stop();
    assert.deepEqual(
      kept.map(text),
      many.map((_, i) => `${i}`),
    );
    assert.equal(await log.count({ stream: 'OUT', subject: 'out.many' }), many.length);
  });

  test('false refusals cost tries and no more', async () => {
    answers = [refusal(400, 10071), refusal(503, 10077)];
    messagesLeft = 3;
    // Without a fence none can be refused by one.
    await log.appendAll([{ stream: 'OUT', subject: 'out.false', data: bytes('1'), headers: { 'Nats-Msg-Id': 'f1' } }]);
    assert.equal(await log.count({ stream: 'OUT', subject: 'out.false' }), 1);
    messagesLeft = 3;
    const chain = new Chain({ log, clock: systemClock, stream: 'OUT', subject: 'out.false' });
    const first = (await chain.open())!;
    const outcome = await chain.append(bytes('2'));
    assert.ok(outcome.kind === 'landed' && outcome.seq > first.seq);
    assert.equal((await log.last({ stream: 'OUT', subject: 'out.false' }))?.seq, outcome.seq);
    assert.equal(await log.count({ stream: 'OUT', subject: 'out.false' }), 2);
  });

  test('questions are answered by the server alone', async () => {
    messagesLeft = Number.POSITIVE_INFINITY;
    answers = [...NONSENSE, '{"type":"io.nats.jetstream.api.v1.stream_info_response"}'];
    answered = 0;
    const info = await log.info('OUT');
    assert.deepEqual(info?.subjects, ['out.>']);
    assert.equal(await log.info('NOPE'), null);
    assert.deepEqual(await log.streamsOf('out.a'), ['OUT']);
    assert.equal(await log.get({ stream: 'OUT', seq: 1_000_000 }), null);
    assert.ok(answered > 0);
  });

  test('a stranger that says there is nobody is named as one that may', async () => {
    answers = [];
    const none = { headers: headers(503, 'No Responders') };
    const liar = stranger.subscribe('out.liar', { callback: (_, message) => void message.respond(undefined, none) });
    await stranger.flush();
    for (;;) {
      const outcome = await log.append({ stream: 'OUT', subject: 'out.liar', data: bytes('x') });
      if (outcome.kind !== 'unsure') continue; // the stream was faster
      assert.match(String(outcome.cause), /no responders for out\.liar: .*a subscriber says so in its place/);
      break;
    }
    liar.unsubscribe();
    await stranger.flush();
  });

  test('nobody but the stream is waited for, and one that has given the subject away is named', async () => {
    answers = [];
    await log.ensureStream({ name: 'ELSEWHERE', subjects: ['elsewhere.>'], storage: 'memory' });
    const impatient = await connectNats({ servers: server.url, answerMs: 300 });
    const lost = new NatsLog(impatient).append({ stream: 'OUT', subject: 'elsewhere.a', data: bytes('x'), expect: 0 });
    await assert.rejects(lost, error => {
      assert.ok(isMillraceError(error, 'STREAM_MISSING'));
      assert.match(error.message, /stream OUT does not keep the subject elsewhere\.a \(ELSEWHERE keeps it\)/);
      return true;
    });
    await impatient.close();
  });

  test('a stream tells its limit, and whoever is refused for size has heard it', async () => {
    answers = [];
    const config = { name: 'SMALL', subjects: ['small.>'], storage: 'memory', num_replicas: 1, allow_atomic: true };
    await askOrThrow(link, 'STREAM.CREATE.SMALL', { ...config, max_msg_size: 2_000 });
    assert.equal(log.messageBytesMaxOf('SMALL'), log.messageBytesMax);
    assert.equal((await log.info('SMALL'))?.config.maxMsgBytes, 2_000);
    assert.equal(log.messageBytesMaxOf('SMALL'), 2_000);
    await askOrThrow(link, 'STREAM.UPDATE.SMALL', { ...config, max_msg_size: 1_000 });
    const large = { stream: 'SMALL', subject: 'small.a', data: new Uint8Array(1_500) };
    const tooLarge = (error: unknown) =>
      isMillraceError(error, 'MESSAGE_TOO_LARGE') && /max_msg_size/.test(error.message);
    await assert.rejects(log.append({ ...large, expect: 0 }), tooLarge);
    assert.equal(log.messageBytesMaxOf('SMALL'), 1_000);
    // In the middle of a batch the broker does not say it.
    const small = { stream: 'SMALL', subject: 'small.b', data: bytes('x') };
    await assert.rejects(log.appendBatch([{ ...small, expect: 0 }, large, { ...small, subject: 'small.c' }]), tooLarge);
    // What cannot be cut waits until there is room for it.
    let waits = 0;
    const landing = log.appendAll([small, large], {
      inDoubt: cause => {
        assert.ok(tooLarge(cause));
        if (++waits === 2) void askOrThrow(link, 'STREAM.UPDATE.SMALL', { ...config, max_msg_size: 4_000 });
      },
    });
    await landing;
    assert.ok(waits >= 2);
    assert.equal(await log.count({ stream: 'SMALL', subject: 'small.*' }), 2);
  });
});

describe('JetStream, where a leaf node of another domain keeps streams of the same name', () => {
  let hub: NatsServer;
  let leaf: NatsServer;
  let link: NatsLink;
  let leafLink: NatsLink;
  let log: NatsLog;
  let folder: string;
  /** On the same subjects in both; each publish is answered by both. */
  const settings = { name: 'BOTH', subjects: ['both.>'], atomic: true, discard: 'new' } as const;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-leaf-'));
    const port = await freePort();
    // Synced, the hub is the slower of the two.
    hub = await startServer({ config: { syncAlways: true, blocks: [`leafnodes { listen: "127.0.0.1:${port}" }`] } });
    leaf = await startServer({
      config: {
        blocks: [
          'server_name: leaf',
          `jetstream { store_dir: ${JSON.stringify(folder)}, domain: leaf }`,
          `leafnodes { remotes: [{ url: "nats-leaf://127.0.0.1:${port}" }] }`,
        ],
      },
    });
    link = await connectNats({ servers: hub.url, answerMs: 1_000 });
    leafLink = await connectNats({ servers: leaf.url });
    log = new NatsLog(link);
    await log.ensureStream(settings);
    await new NatsLog(leafLink).ensureStream(settings);
    const deadlineMs = performance.now() + 20_000;
    for (let i = 0; (await leafLast()) === 0; i++) {
      assert.ok(performance.now() < deadlineMs, 'the leaf hears what is published at the hub');
      link.wire.publish({ subject: 'both.first', data: bytes(`${i}`), lines: '', commonLines: NOTHING }, '');
      await sleep(systemClock, 20);
    }
  });

  after(async () => {
    await leafLink.close();
    await link.close();
    await leaf.stop();
    await hub.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const leafLast = async () => (await new NatsLog(leafLink).info('BOTH'))!.lastSeq;

  test('its answers count for nothing: what the hub does not take has not landed', async () => {
    const [stream, subject] = ['BOTH', 'both.a'];
    await log.appendAll([{ stream, subject, data: bytes('1') }]);
    const first = await log.last({ stream, subject });
    assert.equal(text(first), '1');
    const fenced = await log.append({ stream, subject, data: bytes('2'), expect: first!.seq });
    assert.ok(fenced.kind === 'landed');
    const { config } = await askOrThrow<{ config: object }>(link, 'STREAM.INFO.BOTH');
    const { messages } = (await log.info('BOTH'))!;
    await askOrThrow(link, 'STREAM.UPDATE.BOTH', { ...config, max_msgs: messages });
    const before = await leafLast();
    const loose = (data: string) => ({ stream, subject: 'both.b', data: bytes(data) });
    assert.equal((await log.append(loose('x'))).kind, 'unsure');
    assert.equal((await log.appendBatch([loose('y'), loose('z')])).kind, 'unsure');
    assert.ok((await leafLast()) > before, 'the leaf took them');
    let told = 0;
    const waiting = log.appendAll([loose('w')], {
      inDoubt: () => {
        if (++told === 2) void askOrThrow(link, 'STREAM.UPDATE.BOTH', { ...config, max_msgs: -1 });
      },
    });
    await waiting;
    assert.ok(told >= 2);
    assert.equal(text(await log.last({ stream, subject: 'both.b' })), 'w');
    assert.equal(await log.count({ stream, subject: 'both.b' }), 1);
  });

  test('what its own JetStream refuses says in which domain', async () => {
    await assert.rejects(
      new NatsLog(leafLink).get({ stream: 'NONE', seq: 1 }),
      /stream not found in JetStream domain leaf/,
    );
    await assert.rejects(log.get({ stream: 'NONE', seq: 1 }), /stream not found \(10059\)/);
    const { config } = await askOrThrow<{ config: object }>(leafLink, 'STREAM.INFO.BOTH');
    await askOrThrow(leafLink, 'STREAM.UPDATE.BOTH', { ...config, sealed: true });
    const sealed = new NatsLog(leafLink).append({ stream: 'BOTH', subject: 'both.c', data: bytes('1') });
    await assert.rejects(sealed, /both\.c \(JetStream domain leaf, or a leaf node's/);
  });
});
