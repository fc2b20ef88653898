/**
 * The audit: nobody waits for it, nothing of it grows without bound, and what is missing is said.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { MillraceError } from '../../../lib/base/errors.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import type { Log, NewMessage, StreamSettings } from '../../../lib/port/log.ts';
import { AUDIT_STREAM } from '../../../lib/record/names.ts';
import { AUDIT_AGE_MS, AUDIT_BYTES, Audit, type AuditEntry, type Noted } from '../../../lib/service/audit.ts';
import { Recorder, until } from '../host/fakes.ts';

const SOME: Noted = {
  ...{ who: 'ci', from: '10.0.0.1:5000', via: null, method: 'DeployPipeline', pipeline: 'orders' },
  ...{ revision: 3, bundleHash: 'b'.repeat(64), outcome: 'updated', code: null },
};
const REFUSED: Noted = { ...SOME, revision: null, bundleHash: null, outcome: 'refused', code: 'PERMISSION_DENIED' };

/** A log on a broker in memory, which can be away; what it is asked to make is kept. */
function scene() {
  const log = new MemoryBroker({ clock: systemClock }).client('audit');
  const facts = { away: false, made: [] as StreamSettings[] };
  const watched: Log = Object.assign(Object.create(log) as Log, {
    async ensureStream(settings: StreamSettings) {
      if (facts.away) throw new MillraceError('BROKER_UNAVAILABLE', 'it is away');
      facts.made.push(settings);
      return log.ensureStream(settings);
    },
    appendAll: (messages: readonly NewMessage[]) => log.appendAll(messages),
    info: (stream: string) => log.info(stream),
    get: (which: { stream: string; seq: number }) => log.get(which),
    read: (options: Parameters<Log['read']>[0]) => log.read(options),
  });
  const observer = new Recorder();
  let nowMs = 1_000_000;
  const timers: (() => void)[] = [];
  const clock = {
    ...systemClock,
    now: () => nowMs,
    after(delayMs: number, callback: () => void) {
      // A minute and more is the test's to let pass.
      if (delayMs < 60_000) return systemClock.after(Math.min(delayMs, 20), callback);
      timers.push(callback);
      return () => void timers.splice(timers.indexOf(callback) >>> 0, 1);
    },
  };
  const audit = new Audit({ log: watched, clock, observer, worker: 'w' });
  const pass = (ms: number) => {
    nowMs += ms;
    for (const timer of timers.splice(0)) timer();
  };
  const page = (query: Partial<Parameters<Audit['page']>[0]> = {}) =>
    audit.page({ pipeline: null, sinceMs: 0, pageSize: 1_000, pageToken: null, sees: () => true, ...query });
  const entries = async (): Promise<readonly AuditEntry[]> => (await page()).items;
  return { log, facts, observer, audit, pass, page, entries };
}

describe('an entry', () => {
  test('is an event at once, and in a stream that is made with the first and kept for a while', async () => {
    const { audit, facts, log, observer, entries } = scene();
    assert.deepEqual([await entries(), await log.info(AUDIT_STREAM)], [[], null]);
    audit.changed(SOME);
    const { bundleHash, ...fields } = SOME;
    const event = { event: 'api.changed', level: 'info', ...fields, bundle: bundleHash, times: 1 };
    assert.deepEqual(observer.events, [event]);
    await until('it is written', async () => (await entries()).length === 1);
    assert.deepEqual(await entries(), [{ ...SOME, atMs: 1_000_000, worker: 'w', times: 1 }]);
    const [{ maxAgeMs, maxBytes, denyDelete, discard } = {} as StreamSettings] = facts.made;
    assert.deepEqual([maxAgeMs, maxBytes, denyDelete, discard], [AUDIT_AGE_MS, AUDIT_BYTES, true, undefined]);
  });

  test('of a pipeline is found by it, what is about none has no name for one', async () => {
    const { audit, page, entries } = scene();
    audit.changed(SOME);
    audit.refused({ ...REFUSED, pipeline: null });
    audit.changed({ ...SOME, pipeline: 'shop' });
    await until('they are written', async () => (await entries()).length === 3);
    assert.deepEqual(
      (await page({ pipeline: 'shop' })).items.map(({ pipeline }) => pipeline),
      ['shop'],
    );
    const seen = await page({ sees: pipeline => pipeline === 'orders' });
    assert.deepEqual(
      seen.items.map(({ pipeline }) => pipeline),
      ['orders'],
    );
  });

  test('can be looked at page by page, and since a time', async () => {
    const { audit, page, pass, entries } = scene();
    for (let revision = 1; revision <= 7; revision++) {
      audit.changed({ ...SOME, revision });
      pass(1_000);
    }
    await until('they are written', async () => (await entries()).length === 7);
    const first = await page({ pageSize: 3 });
    assert.deepEqual(
      first.items.map(({ revision }) => revision),
      [1, 2, 3],
    );
    const second = await page({ pageSize: 4, pageToken: first.nextPageToken });
    assert.deepEqual([second.items.map(({ revision }) => revision), second.nextPageToken], [[4, 5, 6, 7], null]);
    assert.deepEqual(
      (await page({ sinceMs: 1_005_000 })).items.map(({ revision }) => revision),
      [6, 7],
    );
    await assert.rejects(page({ pageToken: 'x' }), /not from the audit/);
  });

  test('of somebody else in that stream is passed over', async () => {
    const { audit, log, entries } = scene();
    audit.changed(SOME);
    await until('it is written', async () => (await entries()).length === 1);
    for (const data of ['no json', 'null', '{}']) {
      await log.append({ stream: AUDIT_STREAM, subject: '_mr.AUDIT.orders', data: Buffer.from(data) });
    }
    assert.equal((await entries()).length, 1);
  });
});

describe('while the broker is away', () => {
  test('entries wait up to a number; how many are missing is told, and is an entry when it is back', async () => {
    const { audit, facts, observer, entries } = scene();
    facts.away = true;
    for (let revision = 1; revision <= 1_005; revision++) audit.changed({ ...SOME, revision });
    await until('it is told', () => observer.names().includes('audit.unwritten'));
    assert.deepEqual(observer.events.filter(({ event }) => event === 'audit.full').length, 1);
    facts.away = false;
    await until('all are written', async () => (await entries()).length === 1_000);
    await until('it is told', () => observer.names().includes('audit.lost'));
    const query = { pipeline: null, sinceMs: 0, pageSize: 10, pageToken: '1000', sees: () => true };
    await until('so is what is missing', async () => (await audit.page(query)).items.length > 1);
    const missing = [...(await entries()), ...(await audit.page(query)).items].filter(({ method }) => method === null);
    assert.ok(missing.length > 0);
    assert.deepEqual([missing[0]!.outcome, missing[0]!.times], ['missing', 5]);
    assert.equal(observer.events.find(({ event }) => event === 'audit.lost')!.entries, 5);
  });

  test('a stop waits no longer than it may, and writes what it can', async () => {
    const { audit, facts, entries } = scene();
    audit.changed(SOME);
    await audit.stop({ deadlineMs: 5_000 });
    assert.equal((await entries()).length, 1);
    facts.away = true;
    audit.changed(SOME);
    await audit.stop({ deadlineMs: 50 });
    assert.equal((await entries()).length, 1);
  });
});

describe('refusals', () => {
  test('that are alike are one entry, and another with their number when a minute is over', async () => {
    const { audit, pass, observer, entries } = scene();
    for (let port = 1; port <= 500; port++) audit.refused({ ...REFUSED, from: `10.0.0.1:${port}` });
    audit.refused({ ...REFUSED, from: '10.0.0.2:1' });
    assert.equal(observer.events.length, 2);
    pass(60_000);
    await until('all are written', async () => (await entries()).length === 3);
    assert.deepEqual(
      (await entries()).map(({ from, times }) => [from, times]),
      [
        ['10.0.0.1:1', 1],
        ['10.0.0.2:1', 1],
        ['10.0.0.1:1', 499],
      ],
    );
    audit.refused(REFUSED);
    await until('that is another one', async () => (await entries()).length === 4);
  });

  test('of ever new kinds are counted together, and what others do is told all the same', async () => {
    const { audit, observer, entries } = scene();
    for (let host = 0; host < 100_000; host++) audit.refused({ ...REFUSED, from: `10.${host >> 8}.${host & 255}.1:1` });
    assert.ok(observer.events.length < 300, `${observer.events.length}`);
    audit.changed(SOME);
    await until('it is written', async () => (await entries()).some(({ outcome }) => outcome === 'updated'));
    await audit.stop({ deadlineMs: 5_000 });
    const total = (await entries()).reduce((sum, { outcome, times }) => sum + (outcome === 'refused' ? times : 0), 0);
    assert.equal(total, 100_000);
  });
});
