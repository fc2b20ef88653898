/**
 * Atomic batches on a real server whose store is full: what it keeps of a batch, which is what `shared-outlet.ts` rests on, and that
 * results come out once all the same (*one try*).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleep, systemClock } from '../../lib/base/clock.ts';
import { Random } from '../../lib/base/random.ts';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { type ServerConfig, startServer } from '../../lib/nats/server.ts';
import { decodeMarker } from '../../lib/outlet/nats/shared-outlet.ts';
import { SharedStream } from '../../lib/outlet/nats/shared-stream.ts';
import type { NewMessage } from '../../lib/port/log.ts';
import { numbered, pastOf, rowsItem, sender } from '../unit/outlet/rig.ts';

const FILE_BYTES = 200_000;
const ROW_BYTES = 2_000;
/** In an account of its own, or for the whole server: both are told in the middle of a batch. */
const LIMITS: readonly [name: string, config: ServerConfig][] = [
  ['the server', { fileBytesMax: FILE_BYTES }],
  [
    'the account',
    {
      blocks: [
        `accounts { A { jetstream { max_file: ${FILE_BYTES}, max_mem: 1000000 }, users: [{ user: a, password: a }] } }`,
        'no_auth_user: a',
      ],
    },
  ],
];

async function scene(config: ServerConfig) {
  const server = await startServer({ config });
  const link = await connectNats({ servers: server.url, answerMs: 500 });
  const log = new NatsLog(link);
  await log.ensureStream({ name: 'out', subjects: ['out.>', 'm.>', 'fill.>'], atomic: true });
  const fill = async (bytes: number) => {
    for (let left = bytes; left > 0; left -= ROW_BYTES) {
      await log.append({ subject: 'fill.x', data: new Uint8Array(ROW_BYTES) });
    }
  };
  const close = async () => {
    await link.close();
    await server.stop();
  };
  return { log, fill, close };
}

for (const [name, config] of LIMITS) {
  test(`a batch that meets the limit of ${name} keeps its first messages, next to one another, with the batch's id`, async () => {
    const { log, fill, close } = await scene(config);
    try {
      await fill(FILE_BYTES - 20_000);
      const row = (i: number): NewMessage => ({ subject: `out.${i % 3}`, data: new Uint8Array(ROW_BYTES) });
      const begin = { subject: 'm.a', data: Buffer.from('begun'), expect: 0 };
      const batch = [
        begin,
        ...Array.from({ length: 30 }, (_, i) => row(i)),
        { subject: 'm.a', data: Buffer.from('done') },
      ];
      assert.equal((await log.appendBatch(batch)).kind, 'unsure');
      const marker = await log.last({ stream: 'out', subject: 'm.a' });
      assert.equal(Buffer.from(marker!.data).toString(), 'begun', 'it was broken off, and not taken back');
      const id = marker!.headers?.['Nats-Batch-Id'];
      assert.ok(id !== undefined && id !== '');
      const { lastSeq } = (await log.info('out'))!;
      assert.ok(lastSeq > marker!.seq && lastSeq < marker!.seq + 31);
      for (let seq = marker!.seq; seq <= lastSeq; seq++) {
        const kept = await log.get({ stream: 'out', seq });
        assert.equal(kept?.subject, batch[seq - marker!.seq]!.subject);
        assert.equal(kept?.headers?.['Nats-Batch-Id'], id);
      }
      // Nothing that names the marker before it can follow.
      await log.trim({ stream: 'out', subject: 'fill.x', before: 50 });
      assert.deepEqual(await log.appendBatch(batch), { kind: 'moved' });
    } finally {
      await close();
    }
  });

  test(`results that met the limit of ${name} in the middle of a batch are there once when there is room`, async () => {
    const { log, fill, close } = await scene(config);
    try {
      await fill(FILE_BYTES - 20_000);
      const rows = 60;
      const filler = 'x'.repeat(ROW_BYTES);
      const ownerOf = (inheritedTo: number) => {
        const stream = new SharedStream({ stream: 'out', log, clock: systemClock, random: new Random(3) });
        const failed: unknown[] = [];
        let done = () => {};
        const sent = new Promise<void>(resolve => {
          done = resolve;
        });
        const outlet = stream.outlet({
          ...{ sender, marker: 'm.a', past: pastOf({ inheritedTo }) },
          onSent: () => done(),
          onFailed: error => failed.push(error),
        });
        outlet.push(largeRows(rows, filler));
        return { outlet, sent, failed };
      };
      const former = ownerOf(0);
      for (let marker = null; marker === null || decodeMarker(marker.data)?.begun === null; ) {
        await sleep(systemClock, 50);
        marker = await log.last({ stream: 'out', subject: 'm.a' });
      }
      // The former owner dies there; the next one finds a part, and a store that is still full for a while.
      former.outlet.stop();
      const next = ownerOf(1);
      await sleep(systemClock, 1_000);
      await log.trim({ stream: 'out', subject: 'fill.x', before: 1_000 });
      await next.sent;
      assert.deepEqual([former.failed, next.failed], [[], []]);
      const texts: string[] = [];
      for (let seq = 1, last = (await log.info('out'))!.lastSeq; seq <= last; seq++) {
        const kept = await log.get({ stream: 'out', seq });
        if (kept?.subject === 'out.x') texts.push(Buffer.from(kept.data).toString().slice(0, 8));
      }
      assert.deepEqual(
        texts,
        numbered(1, rows).map(text => `${text.slice(0, -1)}${filler}`.slice(0, 8)),
      );
    } finally {
      await close();
    }
  });
}

function largeRows(count: number, filler: string) {
  const item = rowsItem(1, count, 'out.x', { mode: 'shared', frame: 'none' });
  const texts = numbered(1, count).map(text => `${text.slice(0, -1)}${filler}"`);
  const lengths = texts.map(text => text.length);
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length + 1);
  const bytes = Buffer.from(texts.map(text => `${text}\n`).join(''));
  return { ...item, starts, bytes: bytes.length, rows: { ...item.rows, bytes, lengths } };
}
