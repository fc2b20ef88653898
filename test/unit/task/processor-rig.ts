/** What the tests of the processor share: the last stage of a pipeline, fed by hand, and what came out of it. */
import assert from 'node:assert/strict';
import { INSERT } from '../../../lib/change/change.ts';
import { type Pipeline, pipeline } from '../../../lib/index.ts';
import { LETTERS, type OutRows } from '../../../lib/journal/outbox.ts';
import { addressFrom } from '../../../lib/outlet/nats/destination.ts';
import { startsOf } from '../../../lib/outlet/outlet.ts';
import { encodeKey } from '../../../lib/record/key.ts';
import { unpackLetters } from '../../../lib/record/letter-group.ts';
import { originOf } from '../../../lib/record/origin.ts';
import { HEADER_SEAL, OPEN_SEAL } from '../../../lib/record/seal.ts';
import { Processor } from '../../../lib/task/processor.ts';
import { planned } from '../topology/broker.ts';

export const MESSAGE_BYTES_MAX = 20_000;

export interface Told {
  readonly subject: string;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The last stage of a pipeline, fed by hand. */
export class Rig {
  readonly processor: Processor;
  readonly deltas: (Uint8Array | null)[] = [];
  #commits = 0;

  constructor(processor: Processor) {
    this.processor = processor;
  }

  static async of(made: Pipeline): Promise<Rig> {
    const plan = await planned(made);
    const stage = plan.stages.at(-1)!;
    return new Rig(new Processor({ plan, stage, partition: 0, messageBytesMax: MESSAGE_BYTES_MAX }));
  }

  feed(value: unknown, options: { key?: string | null; timeMs?: number; seq?: number; input?: number } = {}): void {
    const { key = 'k', timeMs = 1_000, seq = 1, input = 0 } = options;
    this.processor.cursor.origin = originOf(0, seq);
    this.processor.entries[input]!.receive(key === null ? null : encodeKey(key), value, timeMs, INSERT);
  }

  /** Runs the batch, and gives rows and letters as they go into the commit. */
  async run(watermarkMs = 1_000): Promise<{ rows: string[]; letters: Told[] }> {
    await this.processor.execute(watermarkMs, null);
    for (const pending of this.processor.takePending()) this.processor.letter(pending);
    const { delta, outbox } = this.processor.take(++this.#commits, watermarkMs);
    this.deltas.push(delta);
    const told = outbox.rows.filter(rows => rows.sink === LETTERS).flatMap(toldOf);
    return { rows: outbox.rows.filter(rows => rows.sink !== LETTERS).flatMap(textsOf), letters: told };
  }
}

function textsOf(rows: OutRows): string[] {
  const starts = startsOf(rows);
  return rows.lengths.map((length, i) => Buffer.from(rows.bytes.subarray(starts[i], starts[i]! + length)).toString());
}

function toldOf(rows: OutRows): Told[] {
  const starts = startsOf(rows);
  return rows.lengths.flatMap((length, i) => {
    const { subject, headers } = addressFrom(rows.addresses[rows.addressOf[i]!]!);
    const message = { subject, headers, data: rows.bytes.subarray(starts[i], starts[i]! + length) };
    assert.ok(OPEN_SEAL.isLetter(message), 'each message is sealed');
    const { [HEADER_SEAL]: _, ...own } = headers!;
    return unpackLetters({ ...message, headers: own }).map(letter => {
      return { subject, text: Buffer.from(letter.bytes).toString(), headers: letter.headers };
    });
  });
}

export const codes = (letters: readonly Told[]) => letters.map(({ headers }) => headers['Millrace-Error']);
export interface Value {
  readonly id?: string;
  readonly bad?: boolean;
  readonly at?: number;
  readonly pick?: unknown;
}

/** A table join, which runs in a stage, and then `made` of each record. */
export function judged(made: (value: Value) => unknown): Pipeline {
  return pipeline('p', ({ from, table }) => {
    const rows = from<Value>('in.a').keyBy('id');
    rows
      .leftJoin(table('sites'), value => value)
      .map(value => made(value) as Value, { name: 'judge' })
      .to('out.{partition}');
  });
}
