/**
 * The demo's subscribers: one for each output of the pipeline, each row checked against the batch answer the moment it
 * arrives; and one that counts dead letters and late records.
 */
import type { NatsConnection } from 'nats';
import { Checklist } from '../rig/checklist.ts';
import { Latencies } from '../rig/latency.ts';
import { type Arrival, type Subscription, streamOf, subscribe } from '../rig/subscriber.ts';
import { type Answer, type DepartureRow, delayText, departureText } from './answer.ts';
import type { OutputView } from './screen.ts';

const POLL_MS = 100;
const RATE_MS = 1_000;

/** A flight's row as it is published. */
type PublishedFlight = DepartureRow & { readonly sentAt: number | null };

/** An airport's hour as it is published: the key's field, the window, the results. */
interface PublishedHour {
  readonly origin: string;
  readonly start: number;
  readonly flights: number;
  readonly delayMean: number;
  readonly delayMax: number;
}

interface Output {
  readonly subject: string;
  readonly checklist: Checklist;
  toText(row: unknown): string;
}

export class Outputs {
  readonly latencies = new Latencies();
  deadLetters = 0;
  late = 0;
  /** Records that must come too late. */
  lateExpected = 0;
  /** The row of the flight that is shown as an example; null: it has not come. */
  example: { readonly subject: string; readonly row: string } | null = null;
  /** When the last row of any kind came, monotonic ms. */
  lastArrivalMs = performance.now();
  /** The newest flight, in words. */
  latest = '';
  private readonly outputs: readonly Output[];
  private readonly rates: { count: number; atMs: number; perSecond: number }[];
  private readonly deadLettersExpected: number;
  private readonly exampleFlight: string | null;
  private readonly subscriptions: Subscription[] = [];
  private stopped = false;

  /** @param flight the one that is shown as an example; null: none. */
  constructor(answer: Answer, flight: string | null) {
    this.exampleFlight = flight;
    this.deadLettersExpected = answer.deadLetters;
    this.outputs = [
      {
        subject: 'flights.departures.*',
        checklist: new Checklist(answer.departures),
        toText: row => this.takeFlight(row as PublishedFlight),
      },
      {
        subject: 'flights.cancelled.*',
        checklist: new Checklist(answer.cancelled),
        toText: row => departureText(row as PublishedFlight),
      },
      {
        subject: 'flights.delays.*',
        checklist: new Checklist(answer.delays),
        toText(row) {
          const { origin, start, ...results } = row as PublishedHour;
          return delayText({ airport: origin, hourMs: start, ...results });
        },
      },
    ];
    this.rates = this.outputs.map(() => ({ count: 0, atMs: performance.now(), perSecond: 0 }));
  }

  /** Subscribes to everything, waiting for streams that the pipeline makes when it starts. */
  async listen(connection: NatsConnection): Promise<void> {
    for (const output of this.outputs)
      await this.follow(connection, output.subject, ({ subject, row }) => {
        output.checklist.tick(output.toText(JSON.parse(row)));
        if (this.example === null && row.includes(`"flight":"${this.exampleFlight}"`)) this.example = { subject, row };
      });
    await this.follow(connection, 'millrace.flights.dead.>', () => this.deadLetters++);
    await this.follow(connection, 'millrace.flights.late.>', () => this.late++);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    for (const subscription of this.subscriptions) await subscription.stop();
  }

  /** Everything has come, and nothing else. */
  get holds(): boolean {
    const letters = this.deadLetters === this.deadLettersExpected && this.late === this.lateExpected;
    return letters && this.outputs.every(output => output.checklist.holds);
  }

  views(): OutputView[] {
    return this.outputs.map(({ subject, checklist }, i) => {
      const { expected, verified, surplus } = checklist;
      return { subject, expected, verified, surplus, rowsPerSecond: this.rateOf(i, verified + surplus) };
    });
  }

  /** The verdict, a line each; differences follow their output. */
  report(): string[] {
    const lines = this.outputs.flatMap(({ subject, checklist }) => [
      `${subject}: verified ${checklist.verified} of ${checklist.expected}`,
      ...checklist.missingFirst().map(row => `  missing: ${row}`),
      ...checklist.surplusFirst.map(row => `  not expected: ${row}`),
      ...(checklist.surplus > 0 ? [`  ${checklist.surplus} rows were not expected, or came once too often`] : []),
    ]);
    return [
      ...lines,
      `dead letters: ${this.deadLetters} of ${this.deadLettersExpected}`,
      `late records: ${this.late} of ${this.lateExpected}`,
    ];
  }

  private takeFlight(row: PublishedFlight): string {
    if (row.sentAt !== null && row.delay !== null) {
      this.latencies.add(Date.now() - row.sentAt);
      const late = row.delay > 0 ? `${row.delay} min late` : row.delay < 0 ? `${-row.delay} min early` : 'on time';
      this.latest = `${row.departsAt.slice(0, 16).replace('T', ' ')}  ${row.city} → ${row.destination}  ${late}`;
    }
    return departureText(row);
  }

  private async follow(
    connection: NatsConnection,
    subject: string,
    arrived: (arrival: Arrival) => void,
  ): Promise<void> {
    let stream = await streamOf(connection, subject);
    while (stream === null && !this.stopped) {
      await new Promise(resolve => setTimeout(resolve, POLL_MS));
      stream = await streamOf(connection, subject);
    }
    if (stream === null || this.stopped) return;
    const subscription = await subscribe(connection, {
      stream,
      subject,
      arrived: arrival => {
        this.lastArrivalMs = performance.now();
        arrived(arrival);
      },
    });
    this.subscriptions.push(subscription);
  }

  private rateOf(index: number, count: number): number {
    const rate = this.rates[index]!;
    const nowMs = performance.now();
    if (nowMs - rate.atMs >= RATE_MS) {
      rate.perSecond = ((count - rate.count) / (nowMs - rate.atMs)) * 1_000;
      rate.count = count;
      rate.atMs = nowMs;
    }
    return rate.perSecond;
  }
}
