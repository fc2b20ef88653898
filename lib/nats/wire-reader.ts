/**
 * What a server sends, cut into operations. Owns where each begins and ends, and bytes of one that has come in part;
 * messages of our own subscriptions go to their receivers as places in the bytes, everything else, whole, to somebody
 * who knows the protocol (the client's own parser).
 *
 * A client's parser makes a dozen objects of a message, most of which nobody looks at. This one makes none: a reader of
 * small events does little else but receive them.
 */

/** A message where it lies. One object serves all messages: it holds for the time of the call. */
export class InboundMessage {
  bytes: Buffer = Buffer.alloc(0);
  subjectFrom = 0;
  subjectTo = 0;
  /** As long as nothing: there is none. */
  replyFrom = 0;
  replyTo = 0;
  /** As long as nothing: there is none. */
  headFrom = 0;
  dataFrom = 0;
  dataTo = 0;

  get hasReply(): boolean {
    return this.replyTo > this.replyFrom;
  }

  get hasHead(): boolean {
    return this.dataFrom > this.headFrom;
  }

  get head(): Buffer {
    return this.bytes.subarray(this.headFrom, this.dataFrom);
  }

  get data(): Buffer {
    return this.bytes.subarray(this.dataFrom, this.dataTo);
  }
}

export interface InboundReceiver {
  receive(frame: InboundMessage): void;
}

export interface WireReaderOptions {
  /** Our own subscriptions by their number. */
  readonly receivers: ReadonlyMap<number, InboundReceiver>;
  /** Is given everything else: one whole operation at a time. Throws for what is none. */
  others(operation: Buffer): void;
}

const TAB = 9;
const LF = 10;
const CR = 13;
const BLANK = 32;
const ZERO = 48;
const NINE = 57;
/** Makes a letter a small one. */
const SMALL = 32;
const G = 103;
const H = 104;
const M = 109;
const S = 115;
const WORDS_MAX = 5;
const FOUR_ABOVE_BLANK = 0x21212121;
const FOUR_HIGH_BITS = 0x80808080;

export class WireReader {
  /** Messages that went to receivers, and the bytes of their payloads and headers. */
  messages = 0;
  payloadBytes = 0;
  readonly #receivers: ReadonlyMap<number, InboundReceiver>;
  readonly #others: (operation: Buffer) => void;
  readonly #frame = new InboundMessage();
  /** Where the words of a message's first line begin and end. */
  readonly #words = new Int32Array(2 * WORDS_MAX);
  /** A view of the bytes that are looked at. */
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** An operation that has come in part: so many bytes of it. */
  #held: Buffer | null = null;
  #heldBytes = 0;
  /** Length of the operation that is incomplete; 0: it is not known before its first line has ended. */
  #needs = 0;

  constructor({ receivers, others }: WireReaderOptions) {
    this.#receivers = receivers;
    this.#others = others;
  }

  read(chunk: Buffer): void {
    const from = this.#held === null ? 0 : this.#complete(chunk);
    const end = this.#scan(chunk, from);
    if (end < chunk.length) this.#hold(chunk, end);
  }

  /** Forgets what has come in part: another connection begins. */
  reset(): void {
    this.#held = null;
  }

  /** Goes on with the operation that is held. Returns from where on the chunk has further ones. */
  #complete(chunk: Buffer): number {
    let at = 0;
    while (this.#held !== null && at < chunk.length) {
      const lineEnd = this.#needs > 0 ? -1 : chunk.indexOf(LF, at);
      const wanted = this.#needs > 0 ? this.#needs - this.#heldBytes : (lineEnd < 0 ? chunk.length : lineEnd + 1) - at;
      const end = Math.min(at + wanted, chunk.length);
      this.#append(chunk, at, end);
      at = end;
      if (this.#needs > 0 ? this.#heldBytes < this.#needs : lineEnd < 0) break;
      const whole = this.#held.subarray(0, this.#heldBytes) as Buffer;
      this.#held = null;
      if (this.#scan(whole, 0) === 0) this.#hold(whole, 0);
    }
    return at;
  }

  /**
   * The bytes are copied, into as much room as the operation will need: small messages do not keep alive what came with
   * them, large ones are not copied with every chunk.
   */
  #hold(bytes: Buffer, from: number): void {
    this.#held = Buffer.allocUnsafeSlow(Math.max(this.#needs, bytes.length - from));
    this.#heldBytes = bytes.copy(this.#held, 0, from);
  }

  #append(chunk: Buffer, from: number, to: number): void {
    let held = this.#held!;
    const bytes = this.#heldBytes + to - from;
    if (bytes > held.length) {
      held = Buffer.allocUnsafeSlow(bytes);
      this.#held!.copy(held, 0, 0, this.#heldBytes);
      this.#held = held;
    }
    chunk.copy(held, this.#heldBytes, from, to);
    this.#heldBytes = bytes;
  }

  /** Hands over all whole operations. Returns where the first incomplete one begins. */
  #scan(bytes: Buffer, from: number): number {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = from;
    while (at < bytes.length) {
      const first = bytes[at]! | SMALL;
      const end = first === M || first === H ? this.#message(bytes, at) : this.#line(bytes, at);
      if (end < 0) break;
      at = end;
    }
    return at;
  }

  /** An operation that is one line. Returns its end, or -1 when it is incomplete. */
  #line(bytes: Buffer, from: number): number {
    const end = bytes.indexOf(LF, from) + 1;
    if (end === 0) {
      this.#needs = 0;
      return -1;
    }
    this.#others(bytes.subarray(from, end) as Buffer);
    return end;
  }

  /** `MSG subject sid [reply] size` or `HMSG subject sid [reply] head size`, then the payload. */
  #message(bytes: Buffer, from: number): number {
    this.#needs = 0;
    const words = this.#words;
    const view = this.#view;
    const hasHead = (bytes[from]! | SMALL) === H;
    const length = bytes.length;
    let at = from + (hasHead ? 4 : 3);
    if (at >= length) return -1;
    let count = 0;
    let byte = bytes[at]!;
    if (!isName(bytes, at) || (byte !== BLANK && byte !== TAB)) return this.#malformed(bytes, from);
    while (byte !== LF) {
      if (byte === BLANK || byte === TAB || byte === CR) {
        if (++at === length) return -1;
        byte = bytes[at]!;
        continue;
      }
      if (count === WORDS_MAX) return this.#malformed(bytes, from);
      words[2 * count] = at;
      // Four bytes at a time while none of them is a blank or below.
      while (at + 4 < length) {
        const four = view.getInt32(at + 1);
        if (((four - FOUR_ABOVE_BLANK) & ~four & FOUR_HIGH_BITS) !== 0) break;
        at += 4;
      }
      do {
        if (++at === length) return -1;
        byte = bytes[at]!;
      } while (byte > BLANK || (byte !== BLANK && byte !== LF && byte !== CR && byte !== TAB));
      words[2 * count + 1] = at;
      count++;
    }
    const fixed = hasHead ? 4 : 3;
    if (count !== fixed && count !== fixed + 1) return this.#malformed(bytes, from);
    const sid = numberOf(bytes, words[2]!, words[3]!);
    const size = numberOf(bytes, words[2 * count - 2]!, words[2 * count - 1]!);
    const head = hasHead ? numberOf(bytes, words[2 * count - 4]!, words[2 * count - 3]!) : 0;
    if (sid < 0 || size < 0 || head < 0 || head > size) return this.#malformed(bytes, from);

    const dataTo = at + 1 + size;
    let end = dataTo + 2;
    if (end > length) {
      this.#needs = end - from;
      return -1;
    }
    if (bytes[end - 1] !== LF) {
      end = bytes.indexOf(LF, dataTo) + 1;
      if (end === 0) {
        this.#needs = length - from + 1;
        return -1;
      }
    }
    const receiver = this.#receivers.get(sid);
    if (receiver === undefined) {
      this.#others(bytes.subarray(from, end) as Buffer);
      return end;
    }
    const frame = this.#frame;
    frame.bytes = bytes;
    frame.subjectFrom = words[0]!;
    frame.subjectTo = words[1]!;
    frame.replyFrom = words[4]!;
    frame.replyTo = count > fixed ? words[5]! : words[4]!;
    frame.headFrom = at + 1;
    frame.dataFrom = at + 1 + head;
    frame.dataTo = dataTo;
    this.messages++;
    this.payloadBytes += size;
    receiver.receive(frame);
    return end;
  }

  /** No message, though it begins like one: the others say what is wrong with it. */
  #malformed(bytes: Buffer, from: number): never {
    this.#others(bytes.subarray(from) as Buffer);
    throw new Error('the server sent what is not of the NATS protocol');
  }
}

/** Whether `MSG`, in any case, ends here. */
function isName(bytes: Buffer, end: number): boolean {
  return (bytes[end - 3]! | SMALL) === M && (bytes[end - 2]! | SMALL) === S && (bytes[end - 1]! | SMALL) === G;
}

/** Below zero: it is none. */
function numberOf(bytes: Buffer, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!;
    if (byte < ZERO || byte > NINE) return -1;
    value = value * 10 + byte - ZERO;
  }
  return value;
}
