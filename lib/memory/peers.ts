/**
 * The peers port in memory, with faults. A `PeerExchange` is what all are connected to; each client of it is a `MemoryPeers`
 * that can be cut off on its own. What one sends another arrives in order, if it arrives.
 */
import type { Clock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import { Random } from '../base/random.ts';
import { ANSWER_BYTES_MAX, type Answerer, answerOf, type PeerAnswer, type Peers } from '../port/peers.ts';
import { ProcessClock } from './clock.ts';
import { LATE_MS, type Span } from './faults.ts';

/** Probabilities are per message and hearer; what is absent never happens. */
export interface PeerFaults {
  /** On the way there, and on the way back. */
  readonly delayMs?: Span;
  readonly lost?: number;
  /** It takes up to `lateMs` longer, and with it what is behind it. */
  readonly late?: number;
  /** Default `LATE_MS`. */
  readonly lateMs?: number;
}

/**
 * - `up`
 * - `cut`     nothing passes, and the broker has not noticed
 * - `closed`  nothing passes, and the broker knows that nobody is there
 */
export type PeerLine = 'up' | 'cut' | 'closed';

/** The largest question. */
const MESSAGE_BYTES_MAX = 1024 * 1024;
/** Keeps in order what would arrive together. */
const BEHIND_MS = 1e-6;

export class PeerExchange {
  readonly clock: Clock;
  readonly random: Random;
  /** May be replaced at any time. */
  faults: PeerFaults;
  readonly clients = new Set<MemoryPeers>();

  constructor(options: { readonly clock: Clock; readonly random?: Random; readonly faults?: PeerFaults }) {
    this.clock = options.clock;
    this.random = options.random ?? new Random(1);
    this.faults = options.faults ?? {};
  }

  /** A connection of its own, with a process clock of its own unless one is given. */
  client(member: string, options: { readonly clock?: ProcessClock } = {}): MemoryPeers {
    const client = new MemoryPeers(this, member, options.clock ?? new ProcessClock(this.clock));
    this.clients.add(client);
    return client;
  }

  /** Calls `arrive` when what is sent now from one to another gets there; never, if it is lost. */
  carry(from: MemoryPeers, to: MemoryPeers, arrive: () => void): void {
    const { delayMs = [0, 0], lost = 0, late = 0, lateMs = LATE_MS } = this.faults;
    if (from.line !== 'up' || to.line !== 'up' || this.random.chance(lost)) return;
    const lateBy = this.random.chance(late) ? this.random.between(0, lateMs) : 0;
    const wanted = this.clock.monotonic() + this.random.between(...delayMs) + lateBy;
    const at = Math.max(wanted, (to.arrivals.get(from) ?? 0) + BEHIND_MS);
    to.arrivals.set(from, at);
    this.clock.after(at - this.clock.monotonic(), () => {
      // Cut meanwhile, what was on its way is lost; a process that is frozen hears it later.
      if (to.line === 'up' && this.reaches(from, to)) to.clock.after(0, arrive);
    });
  }

  /** Whether the broker, or what is left of it on that side, knows a way. */
  reaches(from: MemoryPeers, to: MemoryPeers): boolean {
    return from.side === to.side && to.line !== 'closed' && !to.clock.dead;
  }
}

export class MemoryPeers implements Peers {
  readonly strays = 0;
  connections = 1;
  readonly member: string;
  readonly clock: ProcessClock;
  /** Nothing passes between clients of different sides: the broker is in two halves. */
  side = 0;
  /** When the last message of each client arrives here. */
  readonly arrivals = new Map<MemoryPeers, number>();
  #line: PeerLine = 'up';
  readonly #exchange: PeerExchange;
  readonly #listeners = new Set<(payload: Uint8Array) => void>();
  readonly #answerers = new Set<Answerer>();

  constructor(exchange: PeerExchange, member: string, clock: ProcessClock) {
    this.#exchange = exchange;
    this.member = member;
    this.clock = clock;
  }

  get line(): PeerLine {
    return this.#line;
  }

  set line(line: PeerLine) {
    // One that was only cut goes on as it was.
    if (line === 'up' && this.#line === 'closed') this.connections++;
    this.#line = line;
  }

  beat(payload: Uint8Array): void {
    const said = new Uint8Array(payload);
    for (const client of this.#exchange.clients) {
      this.#exchange.carry(this, client, () => {
        for (const listener of [...client.#listeners]) listener(new Uint8Array(said));
      });
    }
  }

  onBeat(listener: (payload: Uint8Array) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async ask(member: string, question: Uint8Array, timeoutMs: number): Promise<PeerAnswer> {
    if (question.length > MESSAGE_BYTES_MAX) throw tooLarge('question', question.length, MESSAGE_BYTES_MAX);
    const asked = new Uint8Array(question);
    const answer = await new Promise<PeerAnswer | MillraceError>(resolve => {
      const cancel = this.clock.after(timeoutMs, () => resolve('silent'));
      const end = (answer: PeerAnswer | MillraceError) => {
        cancel();
        resolve(answer);
      };
      const there = [...this.#exchange.clients].filter(
        client => client.member === member && this.#exchange.reaches(this, client),
      );
      // The broker's own word comes back the way that ours do.
      if (there.length === 0) this.#exchange.carry(this, this, () => end('nobody'));
      for (const client of there) {
        this.#exchange.carry(this, client, () => client.#hear(asked, this, end));
      }
    });
    if (answer instanceof MillraceError) throw answer;
    return answer;
  }

  answer(answerer: Answerer): () => void {
    this.#answerers.add(answerer);
    return () => this.#answerers.delete(answerer);
  }

  stop(): void {
    this.line = 'closed';
    this.#exchange.clients.delete(this);
  }

  #hear(question: Uint8Array, from: MemoryPeers, end: (answer: PeerAnswer | MillraceError) => void): void {
    void answerOf(this.#answerers, new Uint8Array(question)).then(answer => {
      if (answer === null) return;
      const isTooLarge = answer.length > ANSWER_BYTES_MAX;
      const said = isTooLarge ? tooLarge('answer', answer.length, ANSWER_BYTES_MAX) : new Uint8Array(answer);
      this.#exchange.carry(this, from, () => end(said));
    });
  }
}

function tooLarge(what: string, bytes: number, bytesMax: number): MillraceError {
  return new MillraceError('MESSAGE_TOO_LARGE', `the ${what} has ${bytes} bytes, and may have ${bytesMax}`);
}
