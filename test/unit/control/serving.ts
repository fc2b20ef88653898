/**
 * Workers with their API on real sockets, for the tests of this room: what lies below is a cluster in memory, with letters
 * and events that the test makes up.
 */
import { MillraceError } from '../../../lib/base/errors.ts';
import type { Access } from '../../../lib/control/access.ts';
import type { ClientOptions } from '../../../lib/control/channel.ts';
import { AdminClient } from '../../../lib/control/client.ts';
import { AdminServer, type ServerOptions } from '../../../lib/control/server.ts';
import type { Event } from '../../../lib/observe/events.ts';
import { Audit } from '../../../lib/service/audit.ts';
import type {
  DiscardProgress,
  EventHistory,
  LetterFilter,
  Letters,
  LetterView,
  ReplayProgress,
  SeenEvent,
  ToldEvent,
} from '../../../lib/service/views.ts';
import { FakeCluster } from '../host/fakes.ts';

export class FakeHistory implements EventHistory {
  readonly seen: SeenEvent[] = [];
  readonly followers = new Set<(event: SeenEvent) => void>();

  async watch(seen: (event: ToldEvent) => void) {
    const told = (event: SeenEvent) => seen({ ...event, worker: 'a' });
    this.followers.add(told);
    const past = this.seen.map(one => ({ ...one, worker: 'a' }));
    return { past, stop: () => void this.followers.delete(told) };
  }

  emit(event: Event): void {
    const seen = { atMs: 1_000 + this.seen.length, event };
    this.seen.push(seen);
    for (const follower of this.followers) follower(seen);
  }
}

export class FakeLetters implements Letters {
  readonly asked: { filter: LetterFilter; options: object }[] = [];
  /** What a replay says of itself; whoever reads is told one after the other. */
  progress: ReplayProgress[] = [];
  /** A replay waits here, when it has said all. */
  until: Promise<void> = Promise.resolve();
  broken = 0;
  letter: LetterView = {
    number: 7,
    kind: 'dead',
    operator: 'map-1',
    code: 'USER_CODE',
    message: 'it threw',
    atMs: 1_700_000_000_000,
    subject: 'orders.de',
    index: 0,
    sizeBytes: 3,
    truncated: false,
    content: Buffer.from('abc'),
    headers: { 'Millrace-Code': 'USER_CODE' },
  };

  async list(filter: LetterFilter, options: { pageSize: number; pageToken: string | null; content: boolean }) {
    this.asked.push({ filter, options });
    const letter = { ...this.letter, content: options.content ? this.letter.content : null, headers: null };
    return { items: [letter], nextPageToken: options.pageToken === null ? 'more' : null, total: 12, forged: 2 };
  }

  async get(pipeline: string, number: number): Promise<LetterView> {
    if (number === this.letter.number) return this.letter;
    throw new MillraceError('NOT_FOUND', `pipeline ${pipeline} has no letter ${number}`);
  }

  async *replay(filter: LetterFilter, options: { toSubject: string | null; dryRun: boolean; keep: boolean }) {
    this.asked.push({ filter, options });
    try {
      for (const progress of this.progress) yield progress;
      await this.until;
    } finally {
      this.broken++;
    }
  }

  async *discard(filter: LetterFilter, options: { dryRun: boolean }): AsyncGenerator<DiscardProgress> {
    this.asked.push({ filter, options });
    yield { seen: 1, discarded: 0, total: 2 };
    yield { seen: 2, discarded: 2, total: 2 };
  }
}

interface ServeOptions {
  readonly address?: string;
  readonly leaseMs?: number;
  readonly access?: Access;
  readonly reloadMs?: number;
  readonly client?: Omit<ClientOptions, 'address'>;
}

export class Serving {
  readonly cluster = new FakeCluster();
  readonly #stops: (() => Promise<void> | void)[] = [];

  /** A worker that is not started yet, its API, and a client of it. */
  async worker(name: string, options: ServeOptions = {}) {
    const made = this.cluster.worker(name, options);
    const letters = new FakeLetters();
    const events = new FakeHistory();
    const facts = { healthy: true };
    const { log, clock } = this.cluster;
    const audit = new Audit({ log, clock, observer: made.observer, worker: name });
    const served = await this.server({
      ...this.options(),
      ...made,
      audit,
      listen: options.address ?? '127.0.0.1:0',
      letters,
      events,
      healthy: () => facts.healthy,
      access: options.access ?? {},
      reloadMs: options.reloadMs ?? 10_000,
    });
    return { ...made, ...served, letters, events, facts, audit, client: this.client(served.address, options.client) };
  }

  /** What a server needs, of a worker that nobody asks. */
  options(): ServerOptions {
    const { worker, commands, observer } = this.cluster.worker('z');
    const { log, clock } = this.cluster;
    return {
      listen: '127.0.0.1:0',
      commands,
      letters: new FakeLetters(),
      events: new FakeHistory(),
      audit: new Audit({ log, clock, observer, worker: worker.name }),
      worker,
      observer,
      about: {
        version: '1.2.3',
        natsUrl: 'nats://somewhere:4222',
        startedAtMs: 1_700_000_000_000,
        project: null,
        nats: () => ({ version: '2.12.0' }),
      },
      healthy: () => true,
    };
  }

  async server(options: ServerOptions): Promise<{ server: AdminServer; address: string }> {
    const server = new AdminServer(options);
    this.onStop(() => server.stop({ deadlineMs: 500 }));
    return { server, address: `127.0.0.1:${(await server.start()).port}` };
  }

  client(address: string, options: Omit<ClientOptions, 'address'> = {}): AdminClient {
    const client = new AdminClient({ timeoutMs: 10_000, ...options, address });
    this.onStop(() => client.close());
    return client;
  }

  onStop(stop: () => Promise<void> | void): void {
    this.#stops.push(stop);
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.reverse()) await stop();
    await this.cluster.stop();
  }
}

/** A port that is likely free: for servers that must know it before they listen. */
export function likelyFreeAddress(): string {
  return `127.0.0.1:${20_000 + Math.floor(Math.random() * 10_000)}`;
}
