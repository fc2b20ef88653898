/**
 * JSON and NDJSON. Of a repeated name the last value counts; a field called `__proto__` is an own field like any other.
 *
 * NDJSON is parsed as one list, a fifth faster than line by line; only where that fails is each line parsed for itself,
 * so that one bad line poisons itself alone. The number of values must be the number of lines, or two broken lines
 * could become one good value. (Lines made up to deceive that count could still be read as other records than line by
 * line; their author might as well have written those records.)
 */
import { type Decoder, jsonOf, RECORDS_PER_MESSAGE_MAX, textOf, unreadable, unreadableCause } from './format.ts';

const NEWLINE = 10;

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
      const lines = countLines(data);
      if (lines > RECORDS_PER_MESSAGE_MAX) {
        const cause = unreadable(`${lines} lines are more than RECORDS_PER_MESSAGE_MAX (${RECORDS_PER_MESSAGE_MAX})`);
        report({ index: 0, bytes: data, cause });
        return;
      }
      const values = parseAsList(data, lines);
      if (values !== null) {
        for (let i = 0; i < values.length; i++) out.push(values[i]);
        return;
      }
      let index = 0;
      for (const bytes of linesOf(data)) {
        try {
          out.push(jsonOf(bytes));
        } catch (error) {
          report({ index, bytes, cause: unreadableCause('not JSON', error) });
        }
        index++;
      }
    },
    parts({ data }) {
      const readable: Uint8Array[] = [];
      for (const bytes of linesOf(data)) {
        try {
          jsonOf(bytes);
        } catch {
          // Reported when the message was decoded; here it only does not count.
          continue;
        }
        readable.push(bytes);
      }
      return readable;
    },
  };
}

/** Lines as newlines divide them, a last empty one not counted. */
function countLines(data: Uint8Array): number {
  let lines = 0;
  for (let at = data.indexOf(NEWLINE); at >= 0; at = data.indexOf(NEWLINE, at + 1)) lines++;
  return data.length > 0 && data[data.length - 1] !== NEWLINE ? lines + 1 : lines;
}

/** All values at once; null when it must be done line by line. */
function parseAsList(data: Uint8Array, lines: number): unknown[] | null {
  try {
    const body = data[data.length - 1] === NEWLINE ? data.subarray(0, -1) : data;
    // Within a JSON string a newline is escaped, so every raw one ends a line.
    const values: unknown = JSON.parse(`[${textOf(body).replaceAll('\n', ',')}]`);
    return Array.isArray(values) && values.length === lines ? values : null;
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
