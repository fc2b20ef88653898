/**
 * Rounds of events for `story.ts`: each is one of the simulator's histories, later in event time than the one before and
 * complete with a heartbeat of each service, so that a test may stop after any of them. And the judge: every output row against the
 * batch answer, nothing lost and nothing doubled.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { Random } from '../../lib/base/random.ts';
import { Checklist } from '../rig/checklist.ts';
import { Publisher } from '../rig/publisher.ts';
import { answer, events, type Order, type Sent, START_MS } from '../sim/story.ts';
import { eventually, type Output, pause, type Scene } from './scene.ts';

/** For `deploy`. */
export const STORY = fileURLToPath(new URL('story.ts', import.meta.url));

const COUNTRIES: Readonly<Record<string, string>> = { Aarhus: 'Denmark', Bergen: 'Norway', Cork: 'Ireland' };
/** A whole number of windows, and so long that time, which goes on with the clock between two, does not come near it. */
const ROUND_MS = 1_800_000;
/** Longer than a history, with what its last rows wait for. */
const COMPLETE_MS = 120_000;
/** Often enough that a worker is at work whenever it is killed. */
const SLICE_MS = 10;

const NAMES = ['paid', 'unpaid', 'sums', 'audit'] as const;
type OutputName = (typeof NAMES)[number];

export class Rounds {
  readonly #scene: Scene;
  readonly #random: Random;
  readonly #sent: Sent[] = [];
  readonly #outputs: Readonly<Record<OutputName, Output>>;
  #rounds = 0;

  private constructor(scene: Scene, seed: number) {
    this.#scene = scene;
    this.#random = new Random(seed);
    this.#outputs = {
      paid: scene.output('paid', 'paid.*'),
      unpaid: scene.output('unpaid', 'unpaid.*'),
      sums: scene.output('sums', 'sums.*'),
      audit: scene.output('audit', 'audit.*'),
    };
  }

  /** Makes the services' streams and the table. */
  static async open(scene: Scene, seed: number): Promise<Rounds> {
    const { connection, log } = scene;
    await log.ensureStream({ name: 'orders', subjects: ['in.orders'] });
    await log.ensureStream({ name: 'payments', subjects: ['in.payments'] });
    const cities = await connection.jetstream().views.kv('cities');
    for (const [city, country] of Object.entries(COUNTRIES)) await cities.put(city, JSON.stringify({ country }));
    return new Rounds(scene, seed);
  }

  /** Publishes a round of so many orders and what belongs to them over `lengthMs`. Resolves when all is stored. */
  async publish({ orders, lengthMs }: { orders: number; lengthMs: number }): Promise<void> {
    const sent = this.#round(orders);
    this.#sent.push(...sent);
    const publisher = new Publisher(this.#scene.connection);
    const { connection } = this.#scene;
    // After the broker was away, it is not known at once whether the connection is there.
    await eventually('the broker answers', () =>
      connection.flush().then(
        () => true,
        () => false,
      ),
    );
    const startMs = performance.now();
    for (let next = 0; next < sent.length; ) {
      const share = Math.min(1, (performance.now() - startMs) / Math.max(1, lengthMs));
      for (; next < Math.ceil(share * sent.length); next++) {
        const { subject, value } = sent[next]!;
        if (publisher.publish(subject, JSON.stringify(value))) await publisher.room();
      }
      if (next < sent.length) await pause(SLICE_MS);
    }
    const complete = new Date(START_MS + (this.#rounds - 1) * ROUND_MS + COMPLETE_MS).toISOString();
    for (const subject of ['in.orders', 'in.payments']) publisher.complete(subject, complete);
    await publisher.finish();
  }

  #round(orders: number): Sent[] {
    const round = this.#rounds++;
    return events(this.#random, orders).sent.flatMap(({ subject, value, atMs }) => {
      if (value === null) return [];
      const at = value.at + round * ROUND_MS;
      const order = `${round}-${value.order}`;
      const moved = 'id' in value ? { ...value, id: `${round}-${value.id}`, order, at } : { ...value, order, at };
      return [{ subject, value: moved, atMs }];
    });
  }

  /** Waits until as many rows are there as there should be, and for what may come too much; then each must be right. */
  async judge(): Promise<{ rows: number }> {
    const { pairs, counts, audit } = answer(this.#sent);
    const paid = pairs.map(pair => {
      const row = JSON.parse(pair) as Pick<Order, 'city'> & { no: number | null };
      return { row, text: JSON.stringify({ ...row, country: COUNTRIES[row.city] }) };
    });
    const wanted = {
      paid: paid.map(({ text }) => text),
      unpaid: paid.filter(({ row }) => row.no === null).map(({ text }) => text),
      sums: counts,
      audit,
    };
    const isFull = async (name: OutputName) => (await this.#outputs[name].rows()).length >= wanted[name].length;
    const areFull = async () => (await Promise.all(NAMES.map(isFull))).every(full => full);
    await eventually('all rows are there', areFull, () => this.#differences(wanted));
    await pause(300);
    assert.equal(await this.#differences(wanted), '');
    assert.deepEqual(await this.#outputs.audit.rows(), audit, 'the audit is in the order of its source');
    const letters = await this.#scene.output('MR_story_letters', 'millrace.>').read();
    assert.equal(letters.length, 0, 'nothing is late or dead');
    return { rows: NAMES.reduce((rows, name) => rows + wanted[name].length, 0) };
  }

  /** Empty: every row is there, once. */
  async #differences(wanted: Readonly<Record<OutputName, readonly string[]>>): Promise<string> {
    const lines: string[] = [];
    for (const name of NAMES) {
      const list = new Checklist(wanted[name]);
      for (const row of await this.#outputs[name].rows()) list.tick(row);
      if (list.holds) continue;
      const { verified, expected, surplus, surplusFirst } = list;
      lines.push(
        `${name}: ${verified} of ${expected}, missing ${list.missingFirst().join(' ')}; ${surplus} too many ${surplusFirst.join(' ')}`,
      );
    }
    return lines.join('\n');
  }
}
