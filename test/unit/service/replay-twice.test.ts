/** A letter that is replayed to another subject first, and kept, and then to its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { lettersStream, lettersSubjects } from '../../../lib/record/names.ts';
import { OPEN_SEAL } from '../../../lib/record/seal.ts';
import { LetterBox } from '../../../lib/service/letters.ts';
import { deployed } from './deployed.ts';

test('what was replayed to one subject of a stream, and kept, can be replayed to another', async () => {
  const broker = new MemoryBroker({ clock: systemClock });
  const log = broker.client('worker');
  await log.ensureStream({ name: lettersStream('p'), subjects: lettersSubjects('p'), atomic: true });
  await log.ensureStream({ name: 'orders', subjects: ['orders.>'] });
  const box = new LetterBox({
    log,
    clock: systemClock,
    registry: await deployed([{ subject: 'orders.>', stream: 'orders' }]),
    seal: OPEN_SEAL,
    observer: { emit() {} },
  });
  const headers = { 'Millrace-Error': 'USER_CODE', 'Millrace-Subject': 'orders.new', 'Millrace-Content': 'message' };
  const [subject, data] = ['millrace.p.dead.map-1', Buffer.from('{"n":1}')];
  await log.append({
    subject,
    data,
    headers: { ...headers, 'Millrace-Seal': OPEN_SEAL.ofLetter(subject, headers, data) },
  });
  const all = { pipeline: 'p', kind: null, operator: null, code: null, numbers: [], sinceMs: null };
  for await (const _ of box.replay(all, { toSubject: 'orders.mended', dryRun: false, keep: true }));
  for await (const _ of box.replay(all, { toSubject: null, dryRun: false, keep: false }));
  const stream = broker.stream('orders')!;
  assert.equal(stream.count('orders.mended'), 1);
  const isThere = stream.count('orders.new') === 1 || broker.stream(lettersStream('p'))!.count('millrace.>') === 1;
  assert.ok(isThere, 'it was published where it belongs, or its letter is kept');
});
