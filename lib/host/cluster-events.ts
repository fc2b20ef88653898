/**
 * What happens in the whole cluster: each worker remembers its own last events, and tells the others what they ask for. Here
 * they are put together for those who look: what all remember, by time (their clocks may differ a little), and then each as it
 * happens. Others are asked again and again, from where they were asked last, so what a worker remembers is told once and
 * whole; that one does not answer, or has forgotten some before it was asked, is told as an event itself.
 *
 * Events of level debug are remembered by nobody: of those only the answering worker's own are told, as they happen.
 */
import type { Clock } from '../base/clock.ts';
import { isMillraceError } from '../base/errors.ts';
import type { Event } from '../observe/events.ts';
import type { EventMemory, SeenEvent } from '../observe/history.ts';
import type { Peers } from '../port/peers.ts';
import { decode, encode } from './peer-json.ts';

/** An event, and the worker that tells it. */
export interface ToldEvent extends SeenEvent {
  readonly worker: string;
}

export interface ClusterEventsOptions {
  readonly clock: Clock;
  readonly peers: Peers;
  readonly me: string;
  readonly memory: EventMemory;
  /** Names of the others that are there. */
  others(): readonly string[];
}

/** What was told so far: of which process, and how many. */
interface Place {
  readonly of: string;
  readonly total: number;
}

interface Asked {
  readonly ask: 'events';
  readonly after: Place | null;
}

interface Told extends Place {
  readonly events: readonly SeenEvent[];
  readonly missed: number;
}

const ANSWER_MS = 500;
const EVERY_MS = 500;

export class ClusterEvents {
  readonly #options: ClusterEventsOptions;

  constructor(options: ClusterEventsOptions) {
    this.#options = options;
    options.peers.answer(bytes => this.#answer(bytes));
  }

  /**
   * Resolves with what all remember, and calls `seen` with what has happened since the call, until `stop` is called. Nothing
   * is told twice.
   */
  async watch(seen: (event: ToldEvent) => void): Promise<{ readonly past: readonly ToldEvent[]; stop(): void }> {
    const { clock, me, memory, others } = this.#options;
    // In one turn: nothing is missed between the two.
    const past = memory.since(0).events.map(one => ({ ...one, worker: me }));
    const unfollow = memory.follow(one => seen({ ...one, worker: me }));
    const begunAtMs = clock.now();
    const places = new Map<string, Place>();
    const silent = new Set<string>();
    let cancel = () => {};
    let stopped = false;
    /** What has happened before `sinceMs` is passed over: it is past. */
    const ask = async (worker: string, tell: (event: ToldEvent) => void, sinceMs: number) => {
      const before = places.get(worker) ?? null;
      const told = await this.#ask(worker, before);
      if (told === null) {
        if (!silent.has(worker))
          tell(this.#own({ event: 'events.unreachable', level: 'warn', member: worker, message: UNREACHABLE }));
        silent.add(worker);
        return;
      }
      silent.delete(worker);
      places.set(worker, { of: told.of, total: told.total });
      if (told.missed > 0 && before !== null) {
        const message = `${told.missed} of its events were forgotten before they were asked for`;
        tell(this.#own({ event: 'events.missed', level: 'warn', member: worker, message }));
      }
      for (const one of told.events) if (one.atMs >= sinceMs) tell({ ...one, worker });
    };
    await Promise.all(others().map(worker => ask(worker, event => past.push(event), 0)));
    const goOn = () => {
      if (stopped) return;
      cancel = clock.after(EVERY_MS, () => {
        const news: ToldEvent[] = [];
        const asked = others().map(worker =>
          ask(worker, event => news.push(event), places.has(worker) ? 0 : begunAtMs),
        );
        void Promise.all(asked).then(() => {
          if (stopped) return;
          for (const event of news.sort(byTime)) seen(event);
          goOn();
        });
      });
    };
    goOn();
    const stop = () => {
      stopped = true;
      unfollow();
      cancel();
    };
    return { past: past.sort(byTime), stop };
  }

  #own(event: Event): ToldEvent {
    return { atMs: this.#options.clock.now(), event, worker: this.#options.me };
  }

  async #ask(worker: string, after: Place | null): Promise<Told | null> {
    const question: Asked = { ask: 'events', after };
    try {
      const answer = await this.#options.peers.ask(worker, encode(question), ANSWER_MS);
      return typeof answer === 'string' ? null : (decode(answer) as Told | null);
    } catch (error) {
      // It is told as any other that does not come.
      if (isMillraceError(error, 'MESSAGE_TOO_LARGE')) return null;
      throw error;
    }
  }

  #answer(bytes: Uint8Array): Uint8Array | null {
    const asked = decode(bytes) as Asked | null;
    if (asked?.ask !== 'events') return null;
    const { memory } = this.#options;
    const told: Told = { of: memory.id, ...memory.since(asked.after?.of === memory.id ? asked.after.total : 0) };
    return encode(told);
  }
}

const UNREACHABLE = 'it does not answer: what it tells of itself is missing here';

function byTime(a: ToldEvent, b: ToldEvent): number {
  return a.atMs - b.atMs;
}
