/**
 * Messages to publish, as the bytes that go out: `PUB subject [reply] size` or `HPUB subject [reply] head size`, then
 * head and payload. Owns the room that they are written into, one message behind the other, so that many of them are
 * one write of the socket and none is an object of its own.
 */
import { MillraceError } from '../base/errors.ts';

/** A message as it goes out. */
export interface OutboundMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Lines of headers, each ended (`headers.ts`); empty: there are none. */
  readonly lines: string;
  /** More of them, encoded: what many messages have in common. */
  readonly commonLines: Uint8Array;
}

export const NOTHING = new Uint8Array(0);

/** Room for some hundred small messages; what is written at a time is one message more at most. */
const PIECE_BYTES = 128 * 1024;
const FIRST_LINE = 'NATS/1.0\r\n';
/** The first line and the empty one behind the last. */
const HEAD_EXTRA = FIRST_LINE.length + 2;
const CR = 13;
const LF = 10;

export class WireWriter {
  /** Messages and the bytes of their payloads and headers since the last `take`. */
  messages = 0;
  payloadBytes = 0;
  readonly #full: Buffer[] = [];
  #piece: Buffer = Buffer.alloc(0);
  /** What is before it has been taken. */
  #from = 0;
  #at = 0;
  /** The subject that was looked at last. */
  #checked: string | null = null;

  /** @param reply the subject for answers; empty: none are asked for. */
  add({ subject, data, lines, commonLines }: OutboundMessage, reply: string): void {
    if (subject !== this.#checked) this.#check(subject);
    const size = data.length;
    const common = commonLines.length;
    const to = reply === '' ? subject : `${subject} ${reply}`;
    // Nearly everything is ASCII; only of what turns out not to be are the bytes counted apart.
    let head = lines === '' && common === 0 ? 0 : HEAD_EXTRA + lines.length + common;
    let text = opening({ to, lines, head, size });
    let bytes = Buffer.byteLength(text);
    const isAscii = bytes === text.length;
    if (!isAscii && lines !== '') {
      head = HEAD_EXTRA + Buffer.byteLength(lines) + common;
      text = opening({ to, lines, head, size });
      bytes = Buffer.byteLength(text);
    }
    let at = this.#room(bytes + common + size + 4);
    const piece = this.#piece;
    at += piece.write(text, at, isAscii ? 'latin1' : 'utf8');
    if (head > 0) {
      piece.set(commonLines, at);
      at += common;
      piece[at++] = CR;
      piece[at++] = LF;
    }
    piece.set(data, at);
    at += size;
    piece[at++] = CR;
    piece[at++] = LF;
    this.#at = at;
    this.messages++;
    this.payloadBytes += head + size;
  }

  /** A blank or a line's end in it would be read as more of the protocol, with all rights of this connection. */
  #check(subject: string): void {
    if (!/^[^\s\0]+$/.test(subject)) {
      throw new MillraceError(
        'INVALID_ARGUMENT',
        `nothing is published on ${JSON.stringify(subject)}: it is no subject`,
      );
    }
    this.#checked = subject;
  }

  /** All that was added, in order. */
  take(): Buffer[] {
    const pieces = this.#full.splice(0);
    if (this.#at > this.#from) pieces.push(this.#piece.subarray(this.#from, this.#at) as Buffer);
    this.#from = this.#at;
    this.messages = 0;
    this.payloadBytes = 0;
    return pieces;
  }

  /** Where so many bytes have room behind each other. */
  #room(bytes: number): number {
    if (this.#at + bytes <= this.#piece.length) return this.#at;
    if (this.#at > this.#from) this.#full.push(this.#piece.subarray(this.#from, this.#at) as Buffer);
    this.#piece = Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, bytes));
    this.#from = 0;
    this.#at = 0;
    return 0;
  }
}

/** All of a message that is before its payload, but for common lines and the empty one. */
function opening({ to, lines, head, size }: { to: string; lines: string; head: number; size: number }): string {
  return head === 0 ? `PUB ${to} ${size}\r\n` : `HPUB ${to} ${head} ${head + size}\r\n${FIRST_LINE}${lines}`;
}

/** What a message counts for in the server's limit: payload and headers. */
export function sizeOf({ data, lines, commonLines }: OutboundMessage): number {
  const bytes = Buffer.byteLength(lines) + commonLines.length;
  return data.length + (bytes === 0 ? 0 : HEAD_EXTRA + bytes);
}
