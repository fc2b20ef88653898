/**
 * The table of stream settings, measured: for each setting a stream of a real server is made with it, and what each role
 * does to a stream is done to it. What the table calls works must be whole, and what it refuses must be shown to do harm.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import { isMillraceError } from '../../lib/base/errors.ts';
import { ask, askOrThrow } from '../../lib/nats/api.ts';
import { connectNats, type NatsLink } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import { READER_INACTIVE_MS } from '../../lib/port/stream-config.ts';
import { ALL, STREAM_ROLES, type StreamRole, type StreamUse } from '../../lib/topology/stream-effects.ts';
import { judgeStream, STREAM_SETTINGS } from '../../lib/topology/stream-settings.ts';
import { bytes, take, text } from './log-rig.ts';

/**
 * `whole`: all that was acknowledged is there; `part`: some of it is not; `refused`: it cannot be done, and the server says
 * so; `unanswered`: nobody knows; `moved`: what was sent is not where it is looked for.
 */
type Outcome = 'whole' | 'part' | 'refused' | 'unanswered' | 'moved';

interface Place {
  readonly stream: string;
  /** How the role's subjects begin. */
  readonly prefix: string;
  readonly mine: NatsLog;
}

interface Case {
  /** As STREAM.CREATE takes it, with the stream's name for NAME. */
  readonly config: object;
  /** What each role meets, where it is not `whole`. */
  readonly meets?: Partial<Record<StreamRole, Outcome>>;
  /** Shows the harm, or the smaller promise, that does not come at once. Throws where there is none. */
  readonly shows?: (stream: string) => Promise<void>;
  /** Why it cannot be shown here. */
  readonly unseen?: string;
}

const MS = 1_000_000;
const ROW = 'a row that is longer than some streams take, with the header that fences it';

describe('the table of stream settings, on a real server', () => {
  let server: NatsServer;
  let link: NatsLink;
  let hasty: NatsLink;
  let log: NatsLog;
  /** A client as others have. */
  let client: NatsConnection;

  before(async () => {
    server = await startServer();
    link = await connectNats({ servers: server.url });
    hasty = await connectNats({ servers: server.url, answerMs: 300 });
    client = await connect({ servers: server.url });
    log = new NatsLog(link);
    for (const name of ['ORIGIN', 'READS', 'WRITES'])
      await make(name, { subjects: [`${name}.>`, `${name.toLowerCase()}.>`] });
    await landed('ORIGIN', 'theirs', { subject: 'chain' });
  });
  after(async () => {
    await client.close();
    await link.close();
    await hasty.close();
    await server.stop();
  });

  const SOON = { max_age: 150 * MS, duplicate_window: 100 * MS };
  const MARKED = { allow_msg_ttl: true, allow_rollup_hdrs: true, subject_delete_marker_ttl: 60_000 * MS };

  const ages = async (stream: string) => {
    await make(`${stream}_soon`, SOON);
    const { seq } = await landed(`${stream}_soon`, 'row');
    await until(async () => (await log.get({ stream: `${stream}_soon`, seq })) === null);
  };

  const CASES: Readonly<Record<string, Case>> = {
    'retention: interest': {
      config: { retention: 'interest' },
      meets: { source: 'part', table: 'part', results: 'moved', loose: 'part', own: 'part', letters: 'moved' },
      shows: async stream => {
        await copies(stream);
        const kept = await askOrThrow<{ config: object }>(link, `STREAM.INFO.${stream}`);
        await askOrThrow(link, `STREAM.UPDATE.${stream}`, { ...kept.config, retention: 'limits' });
        assert.equal(await reading({ stream, prefix: `${stream}.mended`, mine: log }), 'whole');
      },
    },
    'retention: workqueue': {
      config: { retention: 'workqueue' },
      meets: { source: 'refused', table: 'refused', own: 'refused' },
      shows: async stream => {
        await copies(stream);
        const { seq } = await landed(stream, 'row');
        await askOrThrow(link, `CONSUMER.CREATE.${stream}.theirs`, {
          stream_name: stream,
          config: { durable_name: 'theirs', ack_policy: 'explicit', deliver_policy: 'all' },
        });
        const theirs = await client.jetstream().consumers.get(stream, 'theirs');
        await until(async () => {
          (await theirs.next())?.ack();
          await client.flush();
          return (await log.get({ stream, seq })) === null;
        });
      },
    },
    no_ack: {
      config: { no_ack: true },
      meets: { results: 'unanswered', loose: 'unanswered', own: 'unanswered', letters: 'unanswered' },
    },
    sealed: { config: {}, meets: { results: 'refused', loose: 'refused', own: 'refused', letters: 'refused' } },
    mirror: {
      config: { subjects: undefined, mirror: { name: 'ORIGIN' } },
      meets: { results: 'refused', loose: 'refused', own: 'refused', letters: 'refused' },
      shows: async stream => {
        const reader = log.read({ stream, from: 1 });
        const read = await take(reader, 1);
        await reader.stop();
        assert.deepEqual(read.map(text), ['theirs']);
      },
    },
    sources: {
      config: { sources: [{ name: 'ORIGIN', subject_transforms: [{ src: 'ORIGIN.>', dest: 'NAME.results.>' }] }] },
      meets: { results: 'moved' },
    },
    subject_transform: {
      config: { subject_transform: { src: 'NAME.>', dest: 'kept.NAME.>' } },
      meets: { source: 'moved', table: 'moved', results: 'moved', loose: 'moved', own: 'moved', letters: 'moved' },
    },
    'republish, onto what the pipeline reads': {
      config: { republish: { src: 'NAME.>', dest: 'reads.>' } },
      shows: async stream => {
        await landed(stream, 'row', { subject: 'again' });
        await until(async () => (await log.last({ stream: 'READS', subject: 'reads.again' })) !== null);
      },
    },
    'republish, onto what the pipeline writes': {
      config: { republish: { src: 'NAME.>', dest: 'writes.>' } },
      shows: async stream => {
        await landed(stream, 'row', { subject: 'again' });
        await until(async () => (await log.last({ stream: 'WRITES', subject: 'writes.again' })) !== null);
      },
    },
    'republish, elsewhere': { config: { republish: { src: 'NAME.>', dest: 'elsewhere.>' } } },
    'max_age below 24h': { config: { max_age: 23 * 3_600_000 * MS }, shows: ages },
    max_age: { config: { max_age: 23 * 3_600_000 * MS }, shows: ages },
    'max_bytes or max_msgs, discard: old': {
      config: { max_msgs: 1 },
      meets: { source: 'part', table: 'part', loose: 'part', own: 'part', letters: 'part', results: 'part' },
    },
    max_msgs: {
      config: { max_msgs: 1 },
      meets: { source: 'part', table: 'part', loose: 'part', own: 'part', results: 'part', letters: 'part' },
    },
    'max_bytes or max_msgs, discard: new': {
      config: { max_msgs: 1, discard: 'new' },
      meets: { results: 'unanswered', loose: 'unanswered', own: 'unanswered', letters: 'unanswered' },
    },
    'discard: old': { config: {}, unseen: 'it matters where the account is full' },
    max_msgs_per_subject: {
      config: { max_msgs_per_subject: 1 },
      meets: { source: 'part', results: 'part', loose: 'part', own: 'part', letters: 'part' },
    },
    discard_new_per_subject: {
      config: { max_msgs_per_subject: 1, discard: 'new', discard_new_per_subject: true },
      meets: { results: 'unanswered', loose: 'unanswered', own: 'unanswered', letters: 'unanswered' },
    },
    'max_msg_size below 1 KiB': {
      config: { max_msg_size: 16 },
      meets: { results: 'refused', loose: 'refused', own: 'refused', letters: 'refused' },
    },
    'max_msg_size below 1 MiB': {
      config: { max_msg_size: 2_000 },
      shows: stream =>
        assert.rejects(
          landed(stream, 'x'.repeat(3_000)),
          error => isMillraceError(error, 'MESSAGE_TOO_LARGE') && /max_msg_size/.test(error.message),
        ),
    },
    deny_delete: { config: { deny_delete: true }, meets: { letters: 'refused' } },
    deny_purge: { config: { deny_purge: true }, meets: { own: 'refused', letters: 'refused', results: 'refused' } },
    allow_rollup_hdrs: {
      config: { allow_rollup_hdrs: true },
      shows: async stream => {
        const { seq } = await landed(stream, 'unread', { subject: 'rolled' });
        await landed(stream, 'all', { subject: 'rolled', headers: { 'Nats-Rollup': 'sub' } });
        assert.equal(await log.get({ stream, seq }), null);
      },
    },
    'allow_atomic: false': { config: { allow_atomic: false }, meets: { results: 'refused', letters: 'refused' } },
    allow_msg_ttl: {
      config: { allow_msg_ttl: true },
      shows: async stream => {
        const { seq } = await landed(stream, 'unread', { headers: { 'Nats-TTL': '1s' } });
        await until(async () => (await log.get({ stream, seq })) === null);
      },
    },
    subject_delete_marker_ttl: {
      config: MARKED,
      shows: async stream => {
        await make(`${stream}_soon`, { ...MARKED, ...SOON });
        await landed(`${stream}_soon`, 'row', { subject: 'chain' });
        await until(async () => {
          const last = await log.last({ stream: `${stream}_soon`, subject: `${stream}_soon.chain` });
          return last?.headers?.['Nats-Marker-Reason'] === 'MaxAge';
        });
      },
    },
    allow_msg_counter: {
      config: { allow_msg_counter: true, allow_atomic: false },
      meets: { results: 'refused', loose: 'refused', own: 'refused', letters: 'refused' },
    },
    allow_msg_schedules: {
      config: { allow_msg_schedules: true, allow_rollup_hdrs: true },
      shows: async stream => {
        const headers = { 'Nats-Schedule': '@at 2100-01-01T00:00:00Z', 'Nats-Schedule-Target': `${stream}.due` };
        const { seq } = await landed(stream, 'later', { subject: 'plan', headers });
        assert.equal((await log.get({ stream, seq }))?.subject, `${stream}.plan`);
      },
    },
    'persist_mode: async': {
      config: { persist_mode: 'async', allow_atomic: false },
      meets: { results: 'refused', letters: 'refused' },
      unseen: 'a crash would have to come at the right moment',
    },
    'storage: memory': {
      config: { storage: 'memory' },
      unseen: 'it is shown at the end, when the server has been restarted',
    },
    'num_replicas: 1, in a cluster': { config: {}, unseen: 'it takes a cluster' },
    'duplicate_window below 2m': {
      config: { duplicate_window: 100 * MS },
      shows: async stream => {
        const headers = { 'Nats-Msg-Id': 'the same' };
        const { seq } = await landed(stream, 'row', { headers });
        await until(async () => (await landed(stream, 'row', { headers })).seq > seq);
      },
    },
    'consumer_limits.inactive_threshold below 30s': {
      config: { consumer_limits: { inactive_threshold: (READER_INACTIVE_MS - 1_000) * MS } },
      meets: { source: 'refused', table: 'refused', own: 'refused' },
    },
    max_consumers: {
      config: { max_consumers: 1 },
      shows: async stream => {
        const add = (name: string) =>
          ask<object>(link, `CONSUMER.CREATE.${stream}.${name}`, { stream_name: stream, config: { name } });
        await until(async () => (await add('first')).error === undefined);
        assert.equal((await add('second')).error?.err_code, 10026);
      },
    },
    'consumer_limits.max_ack_pending': { config: { consumer_limits: { max_ack_pending: 1 } } },
    'allow_direct, mirror_direct': { config: { allow_direct: true } },
    'allow_atomic: true': { config: {} },
    allow_batched: { config: { allow_batched: true } },
    compression: { config: { compression: 's2' } },
    placement: { config: {}, unseen: 'it takes a cluster' },
    'first_seq, lower': { config: { first_seq: 1_000 } },
    'first_seq beyond 2^52': {
      config: { first_seq: 2 ** 52 + 2 },
      shows: async stream => {
        const end = `${stream}_end`;
        await make(end, { first_seq: 2 ** 53 });
        for (const data of ['1', '2']) client.publish(`${end}.source`, data);
        await client.flush();
        await until(async () => (await log.info(end))!.messages === 2);
        const { firstSeq, lastSeq } = (await log.info(end))!;
        assert.equal(lastSeq, firstSeq, 'two messages under one number');
      },
    },
    'description, metadata': { config: { description: 'theirs', metadata: { owner: 'them' } } },
  };

  test('has a case for each setting', () => {
    assert.deepEqual(Object.keys(CASES).sort(), STREAM_SETTINGS.map(({ name }) => name).sort());
  });

  async function until(holds: () => Promise<boolean>): Promise<void> {
    for (const endMs = performance.now() + 30_000; !(await holds()); ) {
      assert.ok(performance.now() < endMs, 'waited in vain');
      await new Promise(resolve => setTimeout(resolve, 30));
    }
  }

  async function landed(
    stream: string,
    data: string,
    { subject = 'x', headers }: { subject?: string; headers?: Record<string, string> } = {},
  ): Promise<{ seq: number }> {
    const more = headers === undefined ? {} : { headers };
    const outcome = await log.append({ subject: `${stream}.${subject}`, data: bytes(data), ...more });
    assert.equal(outcome.kind, 'landed');
    return outcome as { seq: number };
  }

  /** The command that the table names makes a copy that is read whole. */
  async function copies(stream: string): Promise<void> {
    const { todo = '' } = judgeStream((await log.info(stream))!, use('source', stream))[0] ?? {};
    const [, topic = '', copy = ''] = /'\$JS\.API\.([^']+)' '([^']+)'/.exec(todo) ?? [];
    await askOrThrow(link, topic, JSON.parse(copy));
    const reader = log.read({ stream: `${stream}_copy`, subjects: [`copy.${stream}.${stream}.copied`], from: 1 });
    // Where nobody is known to the stream, what comes before the copy is connected is gone.
    let isRead = false;
    await until(async () => {
      await landed(stream, 'row', { subject: 'copied' });
      isRead ||= reader.take({ messagesMax: 100, bytesMax: 1e6 }).length > 0;
      return isRead;
    });
    await reader.stop();
  }

  const plain = (name: string) => ({
    name,
    subjects: [`${name}.>`],
    storage: 'file',
    num_replicas: 1,
    allow_atomic: true,
  });

  async function make(stream: string, config: object): Promise<void> {
    const named = JSON.parse(JSON.stringify({ ...plain(stream), ...config }).replaceAll('NAME', stream)) as object;
    // A mirror allows no batches, and says so.
    await askOrThrow(link, `STREAM.CREATE.${stream}`, 'mirror' in named ? { ...named, allow_atomic: false } : named);
  }

  const use = (role: StreamRole, stream: string): StreamUse => ({
    role,
    subjects: [`${stream}.${role}.>`],
    batches: role === 'results' || role === 'letters',
    reads: ['reads.>'],
    writes: ['writes.>'],
  });

  /** What is published is read, under the subject that it was sent to. */
  async function reading({ stream, prefix, mine }: Place): Promise<Outcome> {
    const { config, lastSeq } = (await mine.info(stream))!;
    const sent: string[] = [];
    for (const [name, data] of [
      ['a', '1'],
      ['a', '2'],
      ['b', '3'],
    ] as const) {
      const subject = `${prefix}.${name}`;
      const headers = config.allowMsgCounter ? { headers: { 'Nats-Incr': data } } : {};
      // What was refused its sender knows of.
      const isSent = config.noAck
        ? client.publish(subject, data) === undefined
        : (await mine.append({ subject, data: bytes(data), ...headers }).catch(() => null))?.kind === 'landed';
      if (isSent) sent.push(subject);
    }
    await client.flush();
    const reader = mine.read({ stream, from: lastSeq + 1, gaps: 'allow' });
    const read: string[] = [];
    await until(async () => {
      read.push(...reader.take({ messagesMax: 100, bytesMax: 1e6 }).map(({ subject }) => subject));
      return reader.error !== null || reader.caughtUp;
    });
    await reader.stop();
    if (reader.error !== null) return 'refused';
    if (read.join() === sent.join()) return 'whole';
    return read.some(subject => !sent.includes(subject)) ? 'moved' : 'part';
  }

  /** The latest row of each key is what a table is. */
  async function latest({ stream, prefix, mine }: Place): Promise<Outcome> {
    const read = await reading({ stream, prefix, mine });
    if (read !== 'part') return read;
    const left = await Promise.all(['a', 'b'].map(key => mine.last({ stream, subject: `${prefix}.${key}` })));
    return left.every(row => row !== null) ? 'whole' : 'part';
  }

  /** Three rows, each after the one before it, as chains are. */
  async function chained({ stream, prefix, mine }: Place): Promise<Outcome> {
    const subject = `${prefix}.chain`;
    let seq = 0;
    for (let i = 0; i < 3; i++) {
      const outcome = await mine.append({ subject, data: bytes(ROW), expect: seq });
      if (outcome.kind !== 'landed') return outcome.kind === 'moved' ? 'moved' : 'unanswered';
      seq = outcome.seq;
      if ((await mine.last({ stream, subject }))?.seq !== seq) return 'moved';
    }
    return (await mine.count({ stream, subject })) === 3 ? 'whole' : 'part';
  }

  async function batched({ prefix, mine }: Place): Promise<Outcome> {
    const messages = ['c', 'd'].map(name => ({ subject: `${prefix}.${name}`, data: bytes('1') }));
    const outcome = await mine.appendBatch(messages);
    return outcome.kind === 'landed' ? 'whole' : 'unanswered';
  }

  async function loose({ stream, prefix, mine }: Place): Promise<Outcome> {
    const subject = `${prefix}.row`;
    const seqs: number[] = [];
    for (let i = 0; i < 2; i++) {
      const outcome = await mine.append({ subject, data: bytes(ROW) });
      if (outcome.kind !== 'landed') return 'unanswered';
      seqs.push(outcome.seq);
    }
    const found = await Promise.all(seqs.map(seq => mine.get({ stream, seq })));
    if (found.some(message => message === null)) return 'part';
    return found.every(message => message?.subject === subject) ? 'whole' : 'moved';
  }

  const DOES: Readonly<Record<StreamRole, readonly ((place: Place) => Promise<Outcome>)[]>> = {
    source: [reading],
    table: [latest],
    results: [chained, batched, purged],
    loose: [loose],
    own: [reading, chained, purged],
    letters: [chained, batched, removed, purged],
  };

  async function purged({ stream, prefix, mine }: Place): Promise<Outcome> {
    await mine.trim({ stream, subject: `${prefix}.chain`, before: 3 });
    return 'whole';
  }

  async function removed({ stream, prefix, mine }: Place): Promise<Outcome> {
    const last = await mine.last({ stream, subject: `${prefix}.chain` });
    assert.ok(await mine.remove({ stream, seq: last!.seq }));
    assert.equal(text((await mine.last({ stream, subject: `${prefix}.chain` }))!), ROW);
    return 'whole';
  }

  async function outcomeOf(role: StreamRole, stream: string): Promise<Outcome> {
    const { config } = (await log.info(stream))!;
    const mine = config.noAck ? new NatsLog(hasty) : log;
    try {
      for (const does of DOES[role]) {
        const outcome = await does({ stream, prefix: `${stream}.${role}`, mine });
        if (outcome !== 'whole') return outcome;
      }
      return 'whole';
    } catch (error) {
      if (!isMillraceError(error)) throw error;
      return 'refused';
    }
  }

  // They wait more than they work.
  describe('a setting', { concurrency: 8 }, () => {
    for (const [index, [name, { config, meets = {}, shows, unseen }]] of Object.entries(CASES).entries()) {
      test(`${name}: is what the table says it is, for each role`, async () => {
        const stream = `S${index}`;
        await make(stream, config);
        if ('mirror' in config || 'sources' in config) await until(async () => (await log.info(stream))!.messages > 0);
        if (name === 'sealed') await askOrThrow(link, `STREAM.UPDATE.${stream}`, { ...plain(stream), sealed: true });
        const info = (await log.info(stream))!;
        const { effects } = STREAM_SETTINGS.find(setting => setting.name === name)!;
        for (const role of ALL) {
          const effect = effects.find(({ on }) => on.includes(role));
          const verdicts = judgeStream(info, use(role, stream));
          const verdict = verdicts.find(({ setting }) => setting === name);
          if (effect !== undefined && unseen !== 'it takes a cluster')
            assert.equal(verdict?.verdict, effect.verdict, role);
          const outcome = await outcomeOf(role, stream);
          assert.equal(outcome, meets[role] ?? 'whole', `${STREAM_ROLES[role]}`);
          if (verdicts.length === 0)
            assert.equal(outcome, 'whole', `${STREAM_ROLES[role]}: nothing says that it is not whole`);
          const isShown = outcome !== 'whole' || shows !== undefined || unseen !== undefined;
          if (effect?.verdict === 'refused') assert.ok(isShown, `${STREAM_ROLES[role]}: refused, and no harm is seen`);
        }
        await shows?.(stream);
      });
    }
  });

  test('what is kept in memory is gone when the server was killed, and what is on disk is not', async () => {
    const memory = `S${Object.keys(CASES).indexOf('storage: memory')}`;
    await landed('ORIGIN', 'theirs');
    await server.kill();
    await server.restart();
    await until(async () => ((await log.info('ORIGIN').catch(() => null))?.messages ?? 0) > 0);
    assert.equal(await log.info(memory), null);
  });
});
