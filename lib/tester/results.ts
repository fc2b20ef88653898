/**
 * What a pipeline sends, as a test reads it: rows as a subscriber would decode them, letters with what their headers
 * say. A commit's bytes are taken apart here.
 */
import { type Change, type ChangeWord, INSERT, wordOf } from '../change/change.ts';
import { LETTERS, type OutRows } from '../journal/outbox.ts';
import { addressFrom } from '../outlet/nats/destination.ts';
import {
  contentType,
  HEADER_CHANGE,
  HEADER_ORIGIN,
  HEADER_SINK,
  HEADER_TASK,
  originText,
} from '../outlet/nats/rows-item.ts';
import { type Sender, startsOf } from '../outlet/outlet.ts';
import type { SinkSpec } from '../outlet/sink-spec.ts';
import type { Headers } from '../port/log.ts';
import { jsonOf } from '../record/format.ts';
import { decodeKey } from '../record/key.ts';
import { unpackLetters } from '../record/letter-group.ts';
import { msgpack } from '../record/msgpack.ts';
import { HEADER_SEAL } from '../record/seal.ts';
import { ownSubject } from '../record/template.ts';
import { isoTimeMs } from '../window/iso-time.ts';

/** A result. Several of one commit may share a message in production; here each stands for itself. */
export interface Row<T = unknown> {
  readonly subject: string;
  /** As a subscriber decodes it: a Date that was sent as JSON is a text here. */
  readonly value: T;
  /** The key of the record that was sent; null: it has none. Subscribers do not see it. */
  readonly key: unknown;
  /** Event time, ms since 1970. Subscribers do not see it. */
  readonly timeMs: number;
  readonly headers: Headers;
  /** What it does to the table that the results are a changelog of; absent: an insert. */
  readonly change?: ChangeWord;
}

/** A record that came after what it belongs to had closed. */
export interface LateRow {
  readonly operator: string;
  readonly value: unknown;
  /** As a text; null: it has none. */
  readonly key: string | null;
  /** Event time, ms since 1970. */
  readonly timeMs: number;
  /** At that moment, ms since 1970. */
  readonly watermarkMs: number | null;
  readonly lateByMs: number;
  readonly headers: Headers;
}

/** A record that could not be processed. */
export interface DeadRow {
  /** The source, operator or sink where it ended. */
  readonly operator: string;
  /** A code of the table of errors, e.g. `RECORD_UNREADABLE`, `USER_CODE`. */
  readonly code: string;
  readonly message: string;
  /** The content as JSON where it is some, else as a text. */
  readonly value: unknown;
  /** The message as it was published where that held this record alone, else the record's value as JSON. */
  readonly bytes: Uint8Array;
  /** The subject of the message that it was in; null: unknown. */
  readonly subject: string | null;
  readonly headers: Headers;
}

/** Key and event time of a row on its way out. */
export interface Note {
  readonly key: string | null;
  readonly timeMs: number;
}

const packed = msgpack();

function rowBytes(rows: OutRows): Uint8Array[] {
  const starts = startsOf(rows);
  return rows.lengths.map((length, i) => rows.bytes.subarray(starts[i], starts[i]! + length));
}

function decoded(bytes: Uint8Array, format: SinkSpec['format']): unknown {
  if (format === 'json') return jsonOf(bytes);
  const values: unknown[] = [];
  packed.decode({ data: bytes, headers: null, subject: '' }, values, ({ cause }) => {
    throw cause;
  });
  return values[0];
}

/** The rows of one sink, by one task. */
export function rowsOf(
  rows: OutRows,
  options: { sink: SinkSpec; partition: number; sender: Sender; notes: readonly Note[] },
): Row[] {
  const { sink, partition, sender, notes } = options;
  return rowBytes(rows).map((bytes, i) => {
    const origin = originText(sender.sourceStreams, rows.origins[i]!);
    const { mode, template } = sink.target;
    const address = rows.addresses[rows.addressOf[i]!];
    const { key, timeMs } = notes[i]!;
    const change = (rows.changes?.[i] ?? INSERT) as Change;
    const word = change === INSERT ? null : wordOf(change);
    return {
      subject: mode === 'owned' ? ownSubject(template, partition) : addressFrom(address!).subject,
      value: decoded(bytes, sink.format),
      key: decodeKey(key),
      timeMs,
      headers: {
        'Content-Type': contentType(sink, 1),
        [HEADER_TASK]: sender.task,
        [HEADER_SINK]: `${sender.life}/${sink.name}`,
        ...(origin === null ? {} : { [HEADER_ORIGIN]: origin }),
        ...(word === null ? {} : { [HEADER_CHANGE]: word }),
      },
      ...(word === null ? {} : { change: word }),
    };
  });
}

export function isLetters(rows: OutRows): boolean {
  return rows.sink === LETTERS;
}

/** Letters of one task: late records and dead letters, in the order they were written. */
export function lettersOf(rows: OutRows): { late: LateRow[]; dead: DeadRow[] } {
  const late: LateRow[] = [];
  const dead: DeadRow[] = [];
  const letters = rowBytes(rows).flatMap((data, i) => {
    const { [HEADER_SEAL]: _, ...headers } = addressFrom(rows.addresses[rows.addressOf[i]!]!).headers!;
    return unpackLetters({ headers, data });
  });
  for (const { headers, bytes } of letters) {
    const operator = headers['Millrace-Operator'] ?? '';
    const code = headers['Millrace-Error'];
    if (code === undefined) {
      const watermarkMs = isoTimeMs(headers['Millrace-Watermark'] ?? '');
      late.push({
        operator,
        value: readJson(bytes),
        key: headers['Millrace-Key'] ?? null,
        timeMs: isoTimeMs(headers['Millrace-Time'] ?? ''),
        watermarkMs: Number.isNaN(watermarkMs) ? null : watermarkMs,
        lateByMs: Number(headers['Millrace-Late-By']),
        headers,
      });
    } else {
      const message = headers['Millrace-Message'] ?? '';
      const subject = headers['Millrace-Subject'] ?? null;
      dead.push({ operator, code, message, value: readJson(bytes), bytes: Uint8Array.from(bytes), subject, headers });
    }
  }
  return { late, dead };
}

function readJson(bytes: Uint8Array): unknown {
  try {
    return jsonOf(bytes);
  } catch {
    return Buffer.from(bytes).toString();
  }
}
