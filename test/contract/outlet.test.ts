import { mkdtemp, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../lib/base/clock.ts';
import { MillraceError } from '../../lib/base/errors.ts';
import { Random } from '../../lib/base/random.ts';
import { MemoryBroker } from '../../lib/memory/log.ts';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { startServer } from '../../lib/nats/server.ts';
import { fileOutlets } from '../../lib/outlet/file/kind.ts';
import { readRows } from '../../lib/outlet/file/record.ts';
import { folderFiles, type OpenRowsFile, type RowsFile } from '../../lib/outlet/file/rows-file.ts';
import { destinationOf, type SinkMode, targetText } from '../../lib/outlet/nats/destination.ts';
import { natsOutlets } from '../../lib/outlet/nats/kind.ts';
import type { Append, Log } from '../../lib/port/log.ts';
import { sinkOf, withCalls } from '../unit/outlet/rig.ts';
import { type Faults, type OutletRig, outletContract, type Place } from './outlet.ts';

const random = new Random(11);
const linesOf = (bytes: Uint8Array): string[] => Buffer.from(bytes).toString().split('\n').filter(Boolean);

function faultyLog(log: Log, faults: Faults): Log {
  const unsure = async (): Promise<Append> => ({ kind: 'unsure', cause: new Error('no answer') });
  return withCalls(log, {
    append: message => faults.write(() => log.append(message), unsure),
    appendBatch: messages => faults.write(() => log.appendBatch(messages), unsure),
    // By itself it tries again.
    appendAll: messages => {
      const really = () => log.appendAll(messages);
      return faults.write(really, really);
    },
  });
}

/** Into a stream: one for each place. */
async function streamPlace(log: Log, mode: SinkMode, count: number): Promise<Place> {
  const life = `l${count}`;
  const stream = `S${count}`;
  const template = mode === 'owned' ? `s${count}.{partition}` : `s${count}.rows`;
  const subject = mode === 'owned' ? `s${count}.0` : template;
  await log.ensureStream({ name: stream, subjects: [`s${count}.>`, `_mr.p.m.*.${life}.>`], atomic: true });
  const lastSeq = async () => (await log.info(stream))!.lastSeq;
  const target = { mode, template, stream: { name: stream, create: false, subjects: [] }, frame: 'none' } as const;
  const text = targetText(destinationOf(sinkOf(target), 0));
  return {
    life,
    to: () => ({ kind: 'nats', target: text, addresses: mode === 'owned' ? [] : [subject] }),
    kinds: faults => ({ nats: natsOutlets({ log: faultyLog(log, faults), clock: systemClock, random }) }),
    mark: lastSeq,
    rows: async () => {
      const rows: string[] = [];
      const last = await lastSeq();
      for (let seq = 1; seq <= last; seq++) {
        const message = await log.get({ stream, seq });
        if (message?.subject === subject) rows.push(...linesOf(message.data));
      }
      return rows;
    },
    putBack: async mark => {
      const last = await lastSeq();
      for (let seq = mark + 1; seq <= last; seq++) await log.remove({ stream, seq });
    },
  };
}

/** A file of real bytes on a real disk. `opened`: files that nobody has closed, as their owner died. */
function filePlace(root: string, name: string, opened: Set<RowsFile>): Place {
  const files = folderFiles(root);
  const path = join(root, name);
  const faulty =
    (faults: Faults): OpenRowsFile =>
    async ofName => {
      const file = await files(ofName);
      opened.add(file);
      return {
        read: (at, length) => file.read(at, length),
        close: () => {
          opened.delete(file);
          return file.close();
        },
        append: bytes =>
          faults.write(
            () => file.append(bytes),
            async () => {
              throw new MillraceError('STORE_UNAVAILABLE', 'the disk does not answer');
            },
          ),
      };
    };
  const using = async <T>(use: (file: Awaited<ReturnType<OpenRowsFile>>) => Promise<T>): Promise<T> => {
    const file = await files(name);
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  };
  return {
    life: 'l',
    to: () => ({ kind: 'file', target: name, addresses: [] }),
    kinds: faults => ({ file: fileOutlets({ open: faulty(faults), random }) }),
    mark: async () => (await stat(path)).size,
    rows: () =>
      using(async file => {
        const rows: string[] = [];
        for await (const block of readRows(file)) rows.push(...linesOf(block.rows));
        return rows;
      }),
    putBack: mark => truncate(path, mark),
  };
}

async function memoryRig(mode: SinkMode): Promise<OutletRig> {
  const log = new MemoryBroker({ clock: systemClock }).client('a');
  let count = 0;
  return { place: () => streamPlace(log, mode, ++count), remove: async () => undefined };
}

async function natsRig(mode: SinkMode): Promise<OutletRig> {
  const server = await startServer();
  const link = await connectNats({ servers: server.url });
  let count = 0;
  return {
    place: () => streamPlace(new NatsLog(link), mode, ++count),
    remove: async () => {
      await link.close();
      await server.stop();
    },
  };
}

for (const mode of ['owned', 'shared', 'at-least-once'] as const) {
  const traits = { judges: mode !== 'at-least-once' };
  outletContract(`${mode}, in memory`, traits, () => memoryRig(mode));
  outletContract(`${mode}, in JetStream`, traits, () => natsRig(mode));
}

outletContract('into a file', { judges: true }, async () => {
  const root = await mkdtemp(join(tmpdir(), 'millrace-outlet-'));
  const opened = new Set<RowsFile>();
  let count = 0;
  return {
    place: async () => filePlace(root, `rows/${++count}.txt`, opened),
    remove: async () => {
      for (const file of opened) await file.close();
      await rm(root, { recursive: true });
    },
  };
});
