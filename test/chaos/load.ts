/**
 * The services: two of them publish orders and payments as they happen, with the present as their time, some twice, out of
 * order within what `story.ts` declares. Each sends one message at a time and repeats it until it is stored, so that an
 * outage delays what it has to say and never changes its order. A service can be told to be quiet.
 */
import type { JetStreamClient, NatsConnection } from 'nats';
import TinyQueue from 'tinyqueue';
import type { Random } from '../../lib/base/random.ts';
import { pause } from '../bench/scene.ts';
import { COUNTRIES, type Order, type Payment } from './answer.ts';

const CITIES = Object.keys(COUNTRIES);
/** Less than `story.ts` declares, by what a busy machine takes to send. */
const DISORDER_MS = 700;
/** What is still to be repeated after so long would be late by then. */
const REPEAT_MS_MAX = 850;
const ACK_MS = 2_000;
const RETRY_MS = 100;
const BEAT_MS = 250;

export type Service = 'orders' | 'payments';

interface Due {
  readonly dueMs: number;
  /** Made when it is sent; a repeat is what it was. */
  readonly event: (nowMs: number) => Order | Payment | null;
}

export class Load {
  readonly #stream: JetStreamClient;
  readonly #random: Random;
  readonly #meanMs: number;
  readonly #due = { orders: queue(), payments: queue() };
  readonly #quiet = { orders: false, payments: false };
  #orders = 0;
  #no = 0;
  #messages = 0;
  #serial = 0;
  #flows = true;
  #ended = false;
  readonly #sending: Promise<unknown>;

  /** Begins at once. `ordersPerSecond`: on average; there are some two messages to an order. */
  constructor(connection: NatsConnection, options: { random: Random; ordersPerSecond: number }) {
    this.#stream = connection.jetstream({ timeout: ACK_MS });
    this.#random = options.random;
    this.#meanMs = 1_000 / options.ordersPerSecond;
    this.#planOrder(Date.now());
    this.#sending = Promise.all([this.#serve('orders'), this.#serve('payments')]);
  }

  /** Messages that are stored. */
  get sent(): number {
    return this.#messages;
  }

  /** A quiet service says nothing; what was due it says when it speaks again, as of then. */
  quiet(service: Service, isQuiet: boolean): void {
    this.#quiet[service] = isQuiet;
  }

  /** Something that happens besides. Resolves when it is stored. */
  async tell(service: Service, event: Order | Payment): Promise<void> {
    await this.#publish(service, event);
  }

  /** Nothing more happens from here on but heartbeats, by which event time goes on. */
  beat(): void {
    this.#flows = false;
    this.#quiet.orders = false;
    this.#quiet.payments = false;
  }

  async stop(): Promise<void> {
    this.#ended = true;
    await this.#sending;
  }

  #planOrder(fromMs: number): void {
    const dueMs = fromMs - Math.log(1 - this.#random.next()) * this.#meanMs;
    this.#due.orders.push({ dueMs, event: nowMs => this.#order(nowMs) });
  }

  #order(nowMs: number): Order {
    const random = this.#random;
    const id = `e${this.#orders++}`;
    // Some orders are placed in several parts, each an event of its own.
    const order = `o${Math.max(0, this.#orders - random.int(6))}`;
    const made = { id, order, city: random.pick(CITIES), amount: random.int(100), at: nowMs - random.int(DISORDER_MS) };
    if (random.chance(0.25)) {
      const dueMs = nowMs + random.int(Math.max(1, DISORDER_MS - (nowMs - made.at)));
      this.#due.orders.push({ dueMs, event: laterMs => (laterMs - made.at > REPEAT_MS_MAX ? null : made) });
    }
    for (let n = random.int(3); n > 0; n--) {
      const no = this.#no++;
      const event = (laterMs: number) => ({ order, no, at: laterMs - random.int(DISORDER_MS) });
      this.#due.payments.push({ dueMs: nowMs - 400 + random.int(2_400), event });
    }
    this.#planOrder(nowMs);
    return made;
  }

  async #serve(service: Service): Promise<void> {
    const due = this.#due[service];
    let beatMs = Date.now();
    for (; !this.#ended; await pause(1)) {
      const nowMs = Date.now();
      if (!this.#flows) {
        if (nowMs < beatMs) continue;
        beatMs = nowMs + BEAT_MS;
        await this.#publish(service, { ...EMPTY[service], beat: true, at: nowMs });
        continue;
      }
      while (this.#tells(service) && due.length > 0 && due.peek()!.dueMs <= Date.now()) {
        const event = due.pop()!.event(Date.now());
        if (event !== null) await this.#publish(service, event);
      }
    }
  }

  #tells(service: Service): boolean {
    return this.#flows && !this.#ended && !this.#quiet[service];
  }

  async #publish(service: Service, event: Order | Payment): Promise<void> {
    const body = JSON.stringify(event);
    // The broker drops a repeat of what it has stored.
    const msgID = `${service}-${this.#serial++}`;
    while (!this.#ended) {
      try {
        await this.#stream.publish(`in.${service}`, body, { msgID });
        this.#messages++;
        return;
      } catch {
        // It may be stored or not: the broker is away, or the answer was lost.
        await pause(RETRY_MS);
      }
    }
  }
}

const EMPTY = {
  orders: { id: '', order: '', city: '', amount: 0 },
  payments: { order: '', no: 0 },
} as const;

function queue(): TinyQueue<Due> {
  return new TinyQueue<Due>([], (a, b) => a.dueMs - b.dueMs);
}
