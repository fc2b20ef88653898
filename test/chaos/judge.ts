/**
 * The judge of a round: reads inputs, outputs and letters through JetStream, as anybody would, and holds every row against
 * the batch answer: lost, doubled, wrong, out of order, late or dead. And how long it was silent: the longest time from
 * something that was stored until anything came out again.
 */
import type { NatsConnection } from 'nats';
import type { ErrorCode } from '../../lib/base/errors.ts';
import { pause } from '../bench/scene.ts';
import { Checklist } from '../rig/checklist.ts';
import { type Arrival, readAll } from '../rig/subscriber.ts';
import { answerOf, excessDisorderMs, type Order, OUTPUTS, type OutputName, type Payment } from './answer.ts';

const LETTERS = 'MR_story_letters';
/** Rows that are missing when nothing has come for so long do not come. */
const STALLED_MS = 45_000;
const POLL_MS = 500;
const SURPLUS_MS = 1_500;

export interface Verdict {
  /** Each a line for a person; none: every row is right. */
  readonly wrong: readonly string[];
  readonly events: number;
  readonly rows: number;
  readonly silenceMs: number;
  /** The code with which the pipeline stood in the end, as it may; null: it ran. */
  readonly stoodWith: ErrorCode | null;
}

/** What is known of one stream, read as far as it went last time. */
class Reading {
  readonly arrivals: Arrival[] = [];
  readonly #connection: NatsConnection;
  readonly #stream: string;
  readonly #subject: string;
  #readTo = 0;

  constructor(connection: NatsConnection, { stream, subject }: { stream: string; subject: string }) {
    this.#connection = connection;
    this.#stream = stream;
    this.#subject = subject;
  }

  async read(): Promise<readonly Arrival[]> {
    const arrived = (arrival: Arrival) => void this.arrivals.push(arrival);
    const where = { stream: this.#stream, subject: this.#subject, from: this.#readTo + 1 };
    this.#readTo = await readAll(this.#connection, { ...where, arrived });
    return this.arrivals;
  }

  get times(): { at: number; storedMs: number }[] {
    return this.arrivals.map(({ row, storedMs }) => ({ at: (JSON.parse(row) as { at: number }).at, storedMs }));
  }

  get rows(): string[] {
    return this.arrivals.map(({ row }) => row);
  }
}

/**
 * Called when nothing is sent any more but heartbeats. Waits for what is still to come.
 * @param options.stands asks with which code the pipeline stands that it may stand with: then rows may be missing
 */
export async function judge(
  connection: NatsConnection,
  { stands }: { stands: () => Promise<ErrorCode | null> },
): Promise<Verdict> {
  const inputs = {
    orders: new Reading(connection, { stream: 'orders', subject: 'in.orders' }),
    payments: new Reading(connection, { stream: 'payments', subject: 'in.payments' }),
  };
  for (const input of Object.values(inputs)) await input.read();
  const orders = inputs.orders.rows.map(row => JSON.parse(row) as Order);
  const payments = inputs.payments.rows.map(row => JSON.parse(row) as Payment);
  const excessMs = Math.max(...Object.values(inputs).map(input => excessDisorderMs(input.times)));
  if (excessMs > 0)
    throw new Error(`the load was ${excessMs} ms more out of order than it declares: the machine is too busy`);
  const wanted = answerOf({ orders, payments });
  const outputs = Object.fromEntries(
    OUTPUTS.map(name => [name, new Reading(connection, { stream: name, subject: `${name}.*` })]),
  ) as Record<OutputName, Reading>;
  const stoodWith = await untilComplete(outputs, wanted, stands);
  const isPartial = stoodWith !== null;
  const before = countOf(outputs);
  // What comes too much comes by then.
  await pause(SURPLUS_MS);
  for (const name of OUTPUTS) await outputs[name].read();
  const rows = countOf(outputs);
  const letters = new Reading(connection, { stream: LETTERS, subject: 'millrace.>' });
  await letters.read();
  const rowsOf = Object.fromEntries(OUTPUTS.map(name => [name, outputs[name].rows])) as Record<OutputName, string[]>;
  const told = letters.arrivals.map(({ subject, row }) => `${subject} ${row}`);
  const wrong = compare({ wanted, rows: rowsOf, letters: told, isPartial });
  if (isPartial && rows > before) wrong.push(`the pipeline stands, and ${rows - before} rows have come since`);
  const stored = [...inputs.orders.arrivals, ...inputs.payments.arrivals].filter(
    ({ row }) => !row.includes('"beat":true'),
  );
  const results = [...outputs.audit.arrivals, ...outputs.unique.arrivals, ...outputs.paid.arrivals];
  return { wrong, events: stored.length, rows, silenceMs: longestSilenceMs({ stored, results }), stoodWith };
}

type Outputs = Readonly<Record<OutputName, Reading>>;

function countOf(outputs: Outputs): number {
  return OUTPUTS.reduce((sum, name) => sum + outputs[name].arrivals.length, 0);
}

/** A code: with that the pipeline stands, and no more is to come. Rows that are missing when nothing moves are told later. */
async function untilComplete(
  outputs: Outputs,
  wanted: Rows,
  stands: () => Promise<ErrorCode | null>,
): Promise<ErrorCode | null> {
  let known = -1;
  let movedMs = performance.now();
  for (;;) {
    const stoodWith = await stands();
    for (const name of OUTPUTS) await outputs[name].read();
    if (OUTPUTS.every(name => outputs[name].arrivals.length >= wanted[name].length)) return null;
    if (stoodWith !== null) return stoodWith;
    const rows = countOf(outputs);
    if (rows !== known) movedMs = performance.now();
    else if (performance.now() - movedMs > STALLED_MS) return null;
    known = rows;
    await pause(POLL_MS);
  }
}

type Rows = Readonly<Record<OutputName, readonly string[]>>;

interface Compared {
  readonly wanted: Rows;
  readonly rows: Rows;
  readonly letters: readonly string[];
  /** Rows may be missing; those that are there must be right. */
  readonly isPartial?: boolean;
}

/** What is wrong, each a line for a person. */
export function compare({ wanted, rows, letters, isPartial = false }: Compared): string[] {
  const wrong = OUTPUTS.flatMap(name => differences(name, { wanted: wanted[name], rows: rows[name], isPartial }));
  wrong.push(...misordered({ wanted, rows, isPartial }));
  if (letters.length > 0) wrong.push(`letters: ${letters.length} that should not be, e.g. ${letters[0]}`);
  return wrong;
}

function differences(
  name: OutputName,
  { wanted, rows, isPartial }: { wanted: readonly string[]; rows: readonly string[]; isPartial: boolean },
): string[] {
  const list = new Checklist(wanted);
  const open = new Set(wanted);
  let doubled = 0;
  for (const row of rows) if (!list.tick(row) && open.has(row)) doubled++;
  const { expected, verified, surplus, surplusFirst } = list;
  if (list.holds || (isPartial && surplus === 0)) return [];
  const missing = expected - verified;
  const parts = [`${name}: of ${expected} rows ${missing} lost, ${doubled} doubled, ${surplus - doubled} wrong`];
  if (missing > 0) parts.push(`lost e.g. ${list.missingFirst().slice(0, 2).join(' ')}`);
  if (surplus > 0) parts.push(`too many e.g. ${surplusFirst.slice(0, 2).join(' ')}`);
  return [parts.join('; ')];
}

/** Rows that are there once, and in another order than their source's. Others are told as lost or doubled. */
function misordered({ wanted, rows, isPartial }: { wanted: Rows; rows: Rows; isPartial: boolean }): string[] {
  const wrong: string[] = [];
  const first = rows.audit.findIndex((row, i) => row !== wanted.audit[i]);
  if (first >= 0 && (isPartial || rows.audit.length === wanted.audit.length)) {
    wrong.push(`audit: row ${first} is ${rows.audit[first]} and should be ${wanted.audit[first]}`);
  }
  const place = new Map(wanted.unique.map((row, i) => [row, i]));
  const last = new Map<string, number>();
  for (const row of rows.unique) {
    const { order } = JSON.parse(row) as Order;
    const at = place.get(row) ?? -1;
    if (at < (last.get(order) ?? -1)) wrong.push(`unique: ${row} comes after a later row of its order`);
    last.set(order, at);
  }
  return wrong.slice(0, 3);
}

type Stored = Pick<Arrival, 'storedMs'>;

/** By the broker's clock. Time in which nothing was stored is nobody's silence. */
export function longestSilenceMs(times: { stored: readonly Stored[]; results: readonly Stored[] }): number {
  const byTime = (arrivals: readonly Stored[]) => arrivals.map(({ storedMs }) => storedMs).sort((a, b) => a - b);
  const [stored, results] = [byTime(times.stored), byTime(times.results)];
  let longestMs = 0;
  let next = 0;
  let sinceMs = Number.NEGATIVE_INFINITY;
  for (const result of results) {
    while (next < stored.length && stored[next]! <= sinceMs) next++;
    const first = stored[next];
    if (first !== undefined && first < result) longestMs = Math.max(longestMs, result - first);
    sinceMs = result;
  }
  return longestMs;
}
