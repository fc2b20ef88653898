/**
 * Headers on the wire: `NATS/1.0 [code description]`, then `Name: value` lines, then an empty one; UTF-8. Written and
 * read here rather than by the client, whose header object costs several times as much as the message it comes with.
 */
import { headerValue } from '../port/headers.ts';
import type { Headers } from '../port/log.ts';

const FIRST_LINE = 'NATS/1.0';
const LF = 10;

/** The lines of these headers, each ended, without first and last line. Empty: there are none. */
export function headerLines(headers: Headers | undefined): string {
  let lines = '';
  for (const name in headers) lines += `${name}: ${headerValue(headers[name]!)}\r\n`;
  return lines;
}

/**
 * Encoded lines that many messages have in common, with what is the same for each of them before: remembered for as long
 * as neighbours bring the same.
 */
export class CommonLines {
  #before = '';
  #headers: Headers | undefined = undefined;
  #lines: Uint8Array = new Uint8Array(0);

  of(before: string, headers: Headers | undefined): Uint8Array {
    if (headers !== this.#headers || before !== this.#before) {
      this.#before = before;
      this.#headers = headers;
      this.#lines = Buffer.from(before + headerLines(headers));
    }
    return this.#lines;
  }
}

/** The headers of a stored message; of a name given twice the first value counts, as it does for the server. */
export function decodeHeaders(block: Uint8Array): Headers | null {
  const text = textOf(block);
  const headers: Record<string, string> = Object.create(null);
  let found = false;
  let at = text.indexOf('\r\n') + 2;
  while (at > 1) {
    const end = text.indexOf('\r\n', at);
    if (end <= at) break;
    const colon = text.indexOf(':', at);
    if (colon > at && colon < end) {
      const name = text.slice(at, colon);
      if (!(name in headers)) headers[name] = text.slice(colon + 1, end).trim();
      found = true;
    }
    at = end + 2;
  }
  return found ? headers : null;
}

/** The status code of a message of the server's own (`NATS/1.0 408 Request Timeout`), or 0. */
export function statusOf(block: Uint8Array): { code: number; text: string } {
  const end = block.indexOf(LF);
  const line = textOf(block.subarray(FIRST_LINE.length, end < 0 ? block.length : end)).trim();
  const code = Number.parseInt(line, 10);
  return { code: Number.isNaN(code) ? 0 : code, text: line };
}

export function textOf(bytes: Uint8Array): string {
  const buffer = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString();
}
