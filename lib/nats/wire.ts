/**
 * The bytes of a connection, past the client: it dials, logs in and stays in touch, and we read and write the messages
 * that are many. The one place that knows how `nats` 2.29 is inside; what it knows is looked at before it is relied on.
 *
 * - in: whatever parser the client makes for a connection, ours stands before it, and hands it what is not for us
 * - out: what is published in one go is one piece of bytes, put in line behind whatever the client has to send
 *
 * What is published without a connection is dropped, never kept for the next: whoever waits for an answer hears that
 * the connection was lost, and asks again; then both would be sent.
 */
import type { NatsConnection, Subscription } from 'nats';
import { MillraceError } from '../base/errors.ts';
import { type InboundReceiver, WireReader } from './wire-reader.ts';
import { type OutboundMessage, WireWriter } from './wire-writer.ts';

interface ClientParser {
  /** 0: between two operations. */
  readonly state: number;
  parse(bytes: Uint8Array): void;
}

interface ClientProtocol {
  parser: ClientParser;
  readonly connected: boolean;
  inMsgs: number;
  inBytes: number;
  outMsgs: number;
  outBytes: number;
  sendCommand(bytes: Uint8Array): void;
  flushPending(): void;
}

/** What waits to be sent together with what else is published in the same turn, at most. */
const TOGETHER_BYTES_MAX = 128 * 1024;

export class Wire {
  readonly #client: NatsConnection;
  readonly #protocol: ClientProtocol;
  readonly #receivers = new Map<number, InboundReceiver>();
  readonly #reader: WireReader;
  readonly #writer = new WireWriter();
  /** The client's own, for the present connection. */
  #parser: ClientParser;
  /** It may have been in the middle of something when we took over. */
  #takenOver = false;
  #flushes = false;

  /** Throws INVARIANT when the client is not as we know it. */
  constructor(client: NatsConnection) {
    this.#client = client;
    this.#protocol = protocolOf(client);
    this.#parser = this.#protocol.parser;
    this.#reader = new WireReader({
      receivers: this.#receivers,
      others: operation => this.#parser.parse(operation),
    });
    const ours: ClientParser = { state: 0, parse: bytes => this.#read(bytes) };
    Object.defineProperty(this.#protocol, 'parser', {
      configurable: true,
      enumerable: true,
      get: () => ours,
      set: (parser: ClientParser) => {
        this.#parser = parser;
        this.#reader.reset();
      },
    });
  }

  /** Subscribes for as long as the client lives, across connections. `onError`: the server has refused it. */
  subscribe(subject: string, receiver: InboundReceiver, onError: (error: Error) => void): Ear {
    const subscription = this.#client.subscribe(subject, {
      callback: error => {
        this.#receivers.delete(subscription.getID());
        onError(error ?? strange('its parser was given our messages'));
      },
    });
    this.#receivers.set(subscription.getID(), receiver);
    return new Ear(this.#client, this.#receivers, subscription);
  }

  /** @param reply the subject for answers; empty: none are asked for. */
  publish(message: OutboundMessage, reply: string): void {
    this.#writer.add(message, reply);
    if (this.#writer.payloadBytes >= TOGETHER_BYTES_MAX) this.#flush();
    else if (!this.#flushes) {
      this.#flushes = true;
      // Not after all promises have had their turn, though that would make fewer writes: an author's function that never
      // returns may run in one of them, and must not hold back what was published before it.
      queueMicrotask(this.#flushTogether);
    }
  }

  #flushTogether = (): void => {
    this.#flushes = false;
    this.#flush();
  };

  /** Sends what `write` adds, all of it or, when it throws, nothing. */
  publishAll(write: (writer: WireWriter) => void): void {
    this.#flush();
    try {
      write(this.#writer);
    } catch (error) {
      this.#writer.take();
      throw error;
    }
    this.#flush();
  }

  #read(bytes: Uint8Array): void {
    let chunk = bufferOf(bytes);
    while (!this.#takenOver) {
      if (this.#parser.state === 0) this.#takenOver = true;
      else if (chunk.length === 0) return;
      else {
        this.#parser.parse(chunk.subarray(0, 1));
        chunk = chunk.subarray(1) as Buffer;
      }
    }
    const reader = this.#reader;
    reader.read(chunk);
    this.#protocol.inMsgs += reader.messages;
    this.#protocol.inBytes += reader.payloadBytes;
    reader.messages = 0;
    reader.payloadBytes = 0;
  }

  #flush(): void {
    const protocol = this.#protocol;
    const { messages, payloadBytes } = this.#writer;
    if (messages === 0) return;
    const pieces = this.#writer.take();
    if (!protocol.connected || this.#client.isClosed()) return;
    protocol.outMsgs += messages;
    protocol.outBytes += payloadBytes;
    // Alone in the client's buffer a piece goes out as it is; with company it would be copied.
    protocol.flushPending();
    for (const piece of pieces) {
      protocol.sendCommand(piece);
      protocol.flushPending();
    }
  }
}

/** A subscription to be ended. */
export class Ear {
  readonly #client: NatsConnection;
  readonly #receivers: Map<number, InboundReceiver>;
  readonly #subscription: Subscription;

  constructor(client: NatsConnection, receivers: Map<number, InboundReceiver>, subscription: Subscription) {
    this.#client = client;
    this.#receivers = receivers;
    this.#subscription = subscription;
  }

  stop(): void {
    this.#receivers.delete(this.#subscription.getID());
    if (!this.#client.isClosed()) this.#subscription.unsubscribe();
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function strange(what: string): MillraceError {
  return new MillraceError('INVARIANT', `the package nats is not as Millrace knows it (${what}): install nats 2.29`);
}

/** Looks whether everything is there that is used above, and does what it did. */
function protocolOf(client: NatsConnection): ClientProtocol {
  const { protocol } = client as unknown as { readonly protocol?: Partial<ClientProtocol> };
  const expect = (holds: boolean, what: string): void => {
    if (!holds) throw strange(what);
  };
  expect(typeof protocol === 'object' && protocol !== null, 'protocol');
  const { parser, connected, inMsgs, inBytes, outMsgs, outBytes, sendCommand, flushPending } = protocol!;
  expect(typeof connected === 'boolean', 'protocol.connected');
  expect([inMsgs, inBytes, outMsgs, outBytes].every(Number.isInteger), 'its counters');
  expect(typeof sendCommand === 'function' && typeof flushPending === 'function', 'how it sends');
  expect(typeof parser?.parse === 'function' && typeof parser.state === 'number', 'protocol.parser');
  expect(Object.hasOwn(protocol!, 'parser'), 'where protocol.parser is');
  expect(parsesAsExpected(parser!), 'what its parser does');
  return protocol as ClientProtocol;
}

/** Another parser of the same kind, given an operation in two parts. */
function parsesAsExpected(parser: ClientParser): boolean {
  let pushed = 0;
  const states: number[] = [];
  try {
    const Parser = parser.constructor as new (dispatcher: { push(): void }) => ClientParser;
    const probe = new Parser({
      push: () => {
        pushed++;
      },
    });
    for (const part of ['', 'PIN', 'G\r\n']) {
      probe.parse(Buffer.from(part));
      states.push(probe.state);
    }
  } catch {
    return false;
  }
  return pushed === 1 && states[0] === 0 && states[1] !== 0 && states[2] === 0;
}
