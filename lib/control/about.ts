/**
 * ServerService: who answers, and what happens. Events are those of the active worker, where the pipelines run.
 */
import { MillraceError } from '../base/errors.ts';
import type { Event, Level } from '../observe/events.ts';
import type { EventHistory, SeenEvent } from '../service/views.ts';
import type { Handlers } from './calls.ts';
import type { Serving } from './forward.ts';
import { eventToWire, levelFromWire } from './messages.ts';
import type { EventWire } from './wire.ts';

type Methods = 'GetServerInfo' | 'WatchEvents';

/** What the answering process says about itself. */
export interface About {
  readonly version: string;
  /** Without credentials. */
  readonly natsUrl: string;
  /** Ms since 1970. */
  readonly startedAtMs: number;
  /** Folder of the project whose `millrace dev` this is; null: a worker. */
  readonly project: string | null;
  /** The broker that it is connected to; null while it is to none. */
  nats(): { readonly version: string } | null;
}

const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error'];
/** More than any history holds. */
const PAST_MAX = 10_000;
/** Events that a watcher may be behind; one that is further behind is told and dropped. */
const BEHIND_MAX = 1_000;

export function aboutHandlers(options: { worker: Serving; about: About; events: EventHistory }): Handlers<Methods> {
  const { worker, about, events } = options;
  return {
    GetServerInfo: {
      async answer() {
        const nats = about.nats();
        return {
          version: about.version,
          worker: worker.name,
          activeWorker: worker.holder?.name ?? '',
          activeAddress: worker.holder?.address ?? '',
          natsUrl: about.natsUrl,
          startedAtMs: about.startedAtMs,
          natsVersion: nats?.version ?? '',
          natsConnected: nats !== null,
          project: about.project ?? '',
        };
      },
    },
    WatchEvents: {
      active: 'only',
      check: (checks, { pipeline, level, past }) =>
        void checks.nameOrAll(pipeline, 'pipeline').known(level, 'level').past(past),
      answer: (request, signal) => watch(events, request, signal),
    },
  };
}

async function* watch(
  events: EventHistory,
  request: { pipeline: string; level: string | number; past: number; pastOnly: boolean },
  signal: AbortSignal,
): AsyncGenerator<{ event: EventWire }, void, void> {
  const least = LEVELS.indexOf(levelFromWire(request.level));
  const wanted = ({ level, pipeline }: Event) =>
    LEVELS.indexOf(level) >= least && (request.pipeline === '' || pipeline === request.pipeline);
  const waiting: SeenEvent[] = [];
  let behind = false;
  let wake = () => {};
  const unfollow = events.follow(seen => {
    if (behind || !wanted(seen.event)) return;
    if (waiting.push(seen) > BEHIND_MAX) behind = true;
    wake();
  });
  const left = () => wake();
  signal.addEventListener('abort', left, { once: true });
  try {
    // In the same turn as `follow`: nothing is missed between the past and what follows, and nothing told twice.
    const past = events.past({ count: PAST_MAX }).filter(({ event }) => wanted(event));
    if (request.past > 0) for (const seen of past.slice(-request.past)) yield { event: eventToWire(seen) };
    while (!request.pastOnly && !signal.aborted) {
      if (behind) {
        throw new MillraceError('LIMIT_REACHED', 'events came faster than they were read; watch again, with the past');
      }
      const seen = waiting.shift();
      if (seen !== undefined) yield { event: eventToWire(seen) };
      else await new Promise<void>(resolve => (wake = resolve));
    }
  } finally {
    unfollow();
    signal.removeEventListener('abort', left);
  }
}
