/**
 * JSON and NDJSON. Of a repeated name the last value counts; a field called `__proto__` is an own field like any other.
 *
 * NDJSON is parsed as one list, a fifth faster than line by line; only where that fails is each line parsed for itself,
 * so that one bad line poisons itself alone. The number of values must be the number of lines, or two broken lines
 * could become one good value. (Lines made up to deceive that count could still be read as other records than line by
 * line; their author might as well have written those records.)
 */
import {
  type Decoder,
  jsonOf,
  RECORDS_PER_MESSAGE_MAX,
  refuseManyValues,
  textOf,
  unreadable,
  unreadableCause,
  withoutStacks,
} from './format.ts';
import { mayHoldLongIntegers, withExactIntegers } from './integers.ts';

const NEWLINE = 10;
const COMMA = 44;
const OPENING = 91;
const CLOSING = 93;

/** One JSON value a message. */
export function json(): Decoder {
  return {
    name: 'json',
    decode(message, out, report) {
      try {
        out.push(jsonOf(message.data));
      } catch (error) {
        report({ index: 0, bytes: message.data, cause: unreadableCause('not JSON', error) });
      }
    },
  };
}

/** A JSON value a line, at most `RECORDS_PER_MESSAGE_MAX` of them; blank lines are passed over, an empty message is none. */
export function ndjson(): Decoder {
  return {
    name: 'ndjson',
    decode({ data }, out, report) {
      const { list, lines } = asList(data);
      try {
        if (lines > RECORDS_PER_MESSAGE_MAX) {
          throw unreadable(`${lines} lines are more than RECORDS_PER_MESSAGE_MAX (${RECORDS_PER_MESSAGE_MAX})`);
        }
        refuseManyValues(data);
      } catch (error) {
        report({ index: 0, bytes: data, cause: unreadableCause('not JSON', error) });
        return;
      }
      const values = parseAsList(list, lines);
      if (values !== null) {
        for (let i = 0; i < values.length; i++) out.push(values[i]);
        return;
      }
      withoutStacks(() => {
        let index = 0;
        for (const bytes of linesOf(data)) {
          try {
            out.push(jsonOf(bytes));
          } catch (error) {
            report({ index, bytes, cause: unreadableCause('not JSON', error) });
          }
          index++;
        }
      });
    },
    parts({ data }) {
      const readable: Uint8Array[] = [];
      withoutStacks(() => {
        for (const bytes of linesOf(data)) {
          try {
            jsonOf(bytes);
          } catch {
            // Reported when the message was decoded; here it only does not count.
            continue;
          }
          readable.push(bytes);
        }
      });
      return readable;
    },
  };
}

/** Room for the message in hand, so that its text is the only copy of it that the collector has to see. */
const room = Buffer.allocUnsafeSlow(256 * 1024);

/** The lines as the bytes of one JSON list, and how many there are, as newlines divide them, a last empty one not counted. */
function asList(data: Uint8Array): { list: Buffer; lines: number } {
  const end = data.length > 0 && data[data.length - 1] === NEWLINE ? data.length - 1 : data.length;
  const list = end + 2 > room.length ? Buffer.allocUnsafeSlow(end + 2) : (room.subarray(0, end + 2) as Buffer);
  list.set(end === data.length ? data : data.subarray(0, end), 1);
  let lines = data.length > 0 ? 1 : 0;
  // Within a JSON string a newline is escaped, so every raw one ends a line.
  for (let at = list.indexOf(NEWLINE, 1); at > 0 && at <= end; at = list.indexOf(NEWLINE, at + 1)) {
    list[at] = COMMA;
    lines++;
  }
  list[0] = OPENING;
  list[end + 1] = CLOSING;
  return { list, lines };
}

/** All values at once; null when it must be done line by line. */
function parseAsList(list: Buffer, lines: number): unknown[] | null {
  try {
    const text = textOf(list);
    const values: unknown = JSON.parse(text);
    if (!Array.isArray(values) || values.length !== lines) return null;
    if (mayHoldLongIntegers(list)) withExactIntegers(text, values);
    return values;
  } catch {
    return null;
  }
}

/** The lines that are not blank, without their line ends. */
function* linesOf(data: Uint8Array): Generator<Uint8Array> {
  let start = 0;
  while (start < data.length) {
    const newline = data.indexOf(NEWLINE, start);
    const end = newline < 0 ? data.length : newline;
    const line = data.subarray(start, end);
    if (!line.every(byte => byte === 0x20 || byte === 0x09 || byte === 0x0d)) yield line;
    start = end + 1;
  }
}
