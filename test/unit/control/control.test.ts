import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { ERRORS, type ErrorCode, isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { connectionHint, fromStatus, toStatus } from '../../../lib/control/errors.ts';
import { AdminServer } from '../../../lib/control/server.ts';
import { fakeBundle, fakeSummary, until } from '../host/fakes.ts';
import { likelyFreeAddress, Serving } from './serving.ts';

let serving: Serving;
beforeEach(() => {
  serving = new Serving();
});
afterEach(() => serving.stop());

function refused(code: ErrorCode, text: RegExp) {
  return (error: unknown) => isMillraceError(error) && error.code === code && text.test(error.message);
}

describe('the API', () => {
  test('deploys, and says of the second time that nothing changed', async () => {
    const { client } = await serving.worker('a');
    const bundle = fakeBundle('p');
    assert.deepEqual(await client.deploy(bundle, { dryRun: true }), {
      name: 'p',
      revision: 1,
      outcome: 'created',
      paused: false,
      notices: [],
    });
    assert.deepEqual(await client.list(), []);
    assert.deepEqual(await client.deploy(bundle), {
      name: 'p',
      revision: 1,
      outcome: 'created',
      paused: false,
      notices: [],
    });
    assert.deepEqual(await client.deploy(bundle), {
      name: 'p',
      revision: 1,
      outcome: 'unchanged',
      paused: false,
      notices: [],
    });
  });

  test('plans without changing anything', async () => {
    const { client } = await serving.worker('a');
    assert.deepEqual(await client.plan(fakeBundle('p', { shape: 'q' })), {
      name: 'p',
      text: 'pipeline p, shape q',
      summary: fakeSummary('p', 'q'),
      fingerprint: 'q',
      outcome: 'created',
      incompatibilities: [],
      refusals: [],
      notices: [],
      deployed: '',
      differences: [],
    });
    assert.equal(serving.cluster.bucket.revision, 0);
  });

  test('passes a status on with every field, and keeps null apart from 0', async () => {
    const { client, worker, engine } = await serving.worker('a');
    await worker.start();
    await client.deploy(fakeBundle('p'));
    await until('it runs', () => engine.running.length === 1);
    const pipeline = await client.get('p');
    assert.deepEqual(pipeline.status, engine.running[0]!.status());
    assert.equal(pipeline.worker, 'a');
    assert.equal(pipeline.revision, 1);
    assert.equal(pipeline.deleting, false);
    assert.equal(pipeline.bundleHash, fakeBundle('p').hash);
    const [listed] = await client.list();
    assert.deepEqual(listed!.status.tasks, []);
    assert.deepEqual(listed!.status.sources, pipeline.status.sources);
  });

  test('advances a source that there is, to a time that is one', async () => {
    const { client } = await serving.worker('a');
    await client.deploy(fakeBundle('p'));
    const to = (source: string, time: string) => client.advance('p', { source, to: time });
    await assert.rejects(
      to('s', 'noon'),
      refused('INVALID_ARGUMENT', /to is no event time.*2026-03-01T18:00:00Z, or end/),
    );
    await assert.rejects(to('', 'end'), refused('INVALID_ARGUMENT', /source is missing/));
    await assert.rejects(to('s', 'end'), refused('NOT_FOUND', /pipeline p has no source s/));
    await assert.rejects(
      client.advance('q', { source: 's', to: 'end' }),
      refused('NOT_FOUND', /no pipeline is named q/),
    );
  });

  test('describes with the plan, restarts, deletes', async () => {
    const { client, worker, engine } = await serving.worker('a');
    await worker.start();
    await client.deploy(fakeBundle('p'));
    const described = await client.describe('p');
    assert.equal(described.text, 'pipeline p, shape a');
    assert.deepEqual(described.summary, fakeSummary('p', 'a'));
    assert.equal(await client.restart('p'), 2);
    await until('it was restarted', () => engine.running[0]?.revision === 2);
    assert.deepEqual(await client.delete('p', { purge: true }), {
      done: true,
      kept: [],
      deleted: ['stream MR_p_journal'],
    });
    await assert.rejects(client.get('p'), refused('NOT_FOUND', /nothing is deployed yet/));
  });

  test('refuses what is incompatible, wrong or missing with codes and reasons', async () => {
    const { client, judge } = await serving.worker('a');
    await client.deploy(fakeBundle('p'));
    await assert.rejects(
      client.deploy(fakeBundle('p', { shape: 'größer' })),
      refused('PLAN_INCOMPATIBLE', /\n {2}- shape was a, now größer\n/),
    );
    judge.planError = new MillraceError('PLAN_INVALID', 'p.ts:1:1: a\np.ts:2:1: b');
    await assert.rejects(client.plan(fakeBundle('p')), refused('PLAN_INVALID', /^p\.ts:1:1: a\np\.ts:2:1: b$/));
    await assert.rejects(client.get('x'), refused('NOT_FOUND', /there are: p/));
    await assert.rejects(client.get(''), refused('INVALID_ARGUMENT', /^name is missing; give the name of a pipeline$/));
    const empty = { code: new Uint8Array(0), hash: '', file: '' };
    await assert.rejects(client.deploy(empty), refused('INVALID_ARGUMENT', /bundle.code is missing/));
  });

  test('says whose output subjects they are, what is on them, and takes them over on request', async () => {
    const { client, judge } = await serving.worker('a');
    const subjects = {
      sink: 'out',
      template: 'out.{partition}',
      covers: 'out.*',
      mode: 'owned',
      stream: 'OUT',
    } as const;
    const writer = { pipeline: 'gone', life: 'unknown' };
    judge.found = [{ ...subjects, messages: 3, lastSeq: 9, writer }];
    const planned = await client.plan(fakeBundle('p'));
    assert.deepEqual([planned.outcome, planned.refusals.length, planned.notices.length], ['created', 1, 1]);
    await assert.rejects(
      client.deploy(fakeBundle('p')),
      refused('SUBJECT_OWNED', /\n {2}- sink out would own .*by pipeline gone in a life \(unknown\).*--take-over$/),
    );
    const { outcome, notices } = await client.deploy(fakeBundle('p'), { takeOver: true });
    assert.equal(outcome, 'created');
    assert.deepEqual(notices, ["stream OUT holds 3 messages on 'out.*' already; results come after them"]);
  });

  test('watches until the pipeline is deleted', async () => {
    const { client, worker, engine } = await serving.worker('a');
    await worker.start();
    await client.deploy(fakeBundle('p'));
    await until('it runs', () => engine.running.length === 1);
    const seen: number[] = [];
    for await (const { status } of client.watch('p', { intervalMs: 100 })) {
      seen.push(status.counts.in);
      engine.running[0]!.recordsIn += 10;
      if (seen.length === 3) void client.delete('p');
      if (seen.length === 3) await until('it is gone', async () => (await client.list()).length === 0);
    }
    assert.deepEqual(seen.slice(0, 3), [0, 10, 20]);
    await assert.rejects(client.watch('p').next(), refused('NOT_FOUND', /no pipeline is named p/));
    await assert.rejects(
      client.watch('p', { intervalMs: 5 }).next(),
      refused('INVALID_ARGUMENT', /^interval_ms is 5; take at least 100/),
    );
  });

  test('a stop of the server ends watches', async () => {
    const { client, server } = await serving.worker('a');
    await client.deploy(fakeBundle('p'));
    const watch = client.watch('p', { intervalMs: 100 });
    await watch.next();
    const [, end] = await Promise.all([
      server.stop({ deadlineMs: 2_000 }),
      (async () => {
        for await (const _ of watch);
        return 'ended';
      })(),
    ]);
    assert.equal(end, 'ended');
  });

  test('one that does not lead passes on what only the leader knows, and answers by itself when that is gone', async () => {
    const address = likelyFreeAddress();
    const a = await serving.worker('a', { address, leaseMs: 60_000 });
    const b = await serving.worker('b', { leaseMs: 60_000 });
    await a.worker.start();
    await b.worker.start();
    await b.client.deploy(fakeBundle('p'));
    await until('a runs it', () => a.engine.running.length === 1);
    a.engine.running[0]!.recordsIn = 42;
    assert.equal((await b.client.get('p')).status.counts.in, 42);
    assert.equal((await b.client.list())[0]!.worker, 'a');
    assert.equal((await b.client.watch('p').next()).value!.status.counts.in, 42);
    const info = await b.client.info();
    assert.deepEqual([info.worker, info.activeWorker, info.activeAddress], ['b', 'a', address]);
    await a.server.stop({ deadlineMs: 500 });
    const left = await b.client.get('p');
    assert.equal(left.status.state, 'unknown');
    assert.match(left.status.reason!, /worker a leads but cannot be asked/);
  });

  test('two workers that take each other for the active one do not pass a call on for ever', async () => {
    const { commands, observer } = await serving.worker('a');
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    const holders: { name: string; address: string }[] = [];
    for (const name of ['x', 'y']) {
      let passes = 0;
      const watched = Object.assign(Object.create(commands) as typeof commands, {
        get: (pipeline: string) => {
          passes++;
          return commands.get(pipeline);
        },
        as: () => watched,
      });
      const worker = {
        name,
        active: false,
        get holder() {
          return holders.find(holder => holder.name !== name) ?? null;
        },
      };
      const { address } = await serving.server({ ...serving.options(), commands: watched, worker, observer });
      holders.push({ name, address });
      if (name === 'x') continue;
      const client = serving.client(holders[0]!.address, { timeoutMs: 4_000 });
      assert.equal((await client.get('p')).name, 'p');
      assert.equal(passes, 1);
    }
  });

  test('says who answers', async () => {
    const { client } = await serving.worker('a');
    assert.deepEqual(await client.info(), {
      version: '1.2.3',
      worker: 'a',
      activeWorker: null,
      activeAddress: null,
      natsUrl: 'nats://somewhere:4222',
      startedAtMs: 1_700_000_000_000,
      natsVersion: '2.12.0',
      natsConnected: true,
      project: null,
    });
  });

  test('an address where nobody listens, and one that is taken, are clear errors', async () => {
    const { address, server } = await serving.worker('a');
    await assert.rejects(
      new AdminServer({ ...serving.options(), listen: address }).start(),
      refused('INVALID_ARGUMENT', /cannot listen on .*--listen/),
    );
    await server.stop({ deadlineMs: 500 });
    await assert.rejects(serving.client(address).list(), refused('WORKER_UNAVAILABLE', /millrace worker/));
  });
});

describe('errors across the wire', () => {
  test('a connection that fails is told with what it may be, and TLS is named where it is TLS', () => {
    const cases: [string, boolean, RegExp][] = [
      ['connect ECONNREFUSED 127.0.0.1:1', false, /^$/],
      ['Waiting for LB pick', true, /^$/],
      [
        'Last error: read ECONNRESET',
        false,
        /starts or stops \(try again in a moment\), or one that asks for TLS \(--tls\)/,
      ],
      ['Last error: Failed to connect (2026-11-29)', false, /starts or stops .* asks for TLS/],
      ['Client network socket disconnected before secure TLS', true, /starts or stops .* without TLS/],
      ['Last error: Protocol error', false, /speaks something else/],
      ['error:0A00010B:SSL routines:ssl3_get_record:wrong version number', true, /speaks no TLS/],
      ['self-signed certificate in certificate chain', true, /a matter of TLS: self-signed/],
      ["Hostname/IP does not match certificate's altnames", true, /a matter of TLS: Hostname/],
      ['SSL alert number 40', true, /a matter of TLS/],
    ];
    for (const [details, tls, text] of cases) {
      assert.match(connectionHint(details, { tls }), text, details);
      if (!tls) assert.doesNotMatch(connectionHint(details, { tls }), /matter of TLS/, details);
    }
  });

  test('every code survives the way there and back', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const { details, metadata, code: status } = toStatus(new MillraceError(code, 'what happened'));
      const back = fromStatus(Object.assign(new Error(), { code: status, details, metadata }), {
        address: 'here:1',
        tls: false,
      });
      assert.equal(back.code, code);
      assert.equal(back.message, 'what happened');
    }
  });

  test('a long text is cut to what headers can carry', () => {
    assert.ok(toStatus(new MillraceError('PLAN_INVALID', 'x'.repeat(100_000))).details.length < 5_000);
  });
});
