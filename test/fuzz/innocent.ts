/** Who sends to the innocent pipeline, subscribes to what comes out of it, and says what is lost or doubled, and how long it took. */
import type { NatsConnection } from 'nats';
import { messageOf } from '../../lib/base/errors.ts';
import { streamOf, subscribe } from '../rig/subscriber.ts';
import { INNOCENT, type InnocentRow } from './scene.ts';

const EVERY_MS = 100;
const KEYS = 7;
/** How long the last rows may take before it is said that they are lost. */
const LAST_MS = 30_000;

export class Innocent {
  worstMs = 0;
  readonly #connection: NatsConnection;
  /** How often each row has come. */
  readonly #seen: number[] = [];
  #sent = 0;
  #timer: NodeJS.Timeout | null = null;
  #refused: string | null = null;
  #stop: () => Promise<void> = async () => {};

  constructor(connection: NatsConnection) {
    this.#connection = connection;
  }

  async start(): Promise<void> {
    const stream = await streamOf(this.#connection, `${INNOCENT}.out.0`);
    if (stream === null) throw new Error('no stream keeps the innocent rows');
    const subscription = await subscribe(this.#connection, {
      stream,
      subject: `${INNOCENT}.out.*`,
      arrived: ({ row }) => {
        const { n, atMs } = JSON.parse(row) as InnocentRow;
        this.#seen[n] = (this.#seen[n] ?? 0) + 1;
        this.worstMs = Math.max(this.worstMs, Date.now() - atMs);
      },
    });
    this.#stop = () => subscription.stop();
    const jetstream = this.#connection.jetstream();
    this.#timer = setInterval(() => {
      const n = this.#sent++;
      const row: InnocentRow = { n, key: `k${n % KEYS}`, atMs: Date.now() };
      jetstream.publish(`${INNOCENT}.in`, JSON.stringify(row), { timeout: LAST_MS }).catch(error => {
        this.#refused ??= `an innocent message was not stored: ${messageOf(error)}`;
      });
    }, EVERY_MS);
  }

  /** Sends no more, and waits for what is on its way. Resolves with what is wrong. */
  async finish(): Promise<string[]> {
    if (this.#timer !== null) clearInterval(this.#timer);
    const untilMs = performance.now() + LAST_MS;
    const missing = () => Array.from({ length: this.#sent }, (_, n) => n).filter(n => this.#seen[n] === undefined);
    while (missing().length > 0 && performance.now() < untilMs) await new Promise(resolve => setTimeout(resolve, 50));
    await this.stop();
    const doubled = this.#seen.filter(times => times > 1).length;
    return [
      ...(this.#refused === null ? [] : [this.#refused]),
      ...(missing().length === 0 ? [] : [`${missing().length} of ${this.#sent} innocent rows are missing`]),
      ...(doubled === 0 ? [] : [`${doubled} innocent rows are there more than once`]),
    ];
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#stop();
  }
}
