/**
 * ServerService: who answers, what happens, and who has changed what. Events are those of the active worker, where the
 * pipelines run; the audit any worker can read.
 */
import { MillraceError } from '../base/errors.ts';
import type { Event, Level } from '../observe/events.ts';
import type { Audit } from '../service/audit.ts';
import type { EventHistory, SeenEvent } from '../service/views.ts';
import type { Handlers } from './calls.ts';
import type { Serving } from './forward.ts';
import { auditToWire, eventToWire, levelFromWire } from './messages.ts';
import type { Caller } from './roles.ts';
import type { EventWire } from './wire.ts';

type Methods = 'GetServerInfo' | 'WatchEvents' | 'ListAudit';

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

const PAGE_SIZE = 100;

export function aboutHandlers(options: {
  worker: Serving;
  about: About;
  events: EventHistory;
  audit: Pick<Audit, 'page'>;
}): Handlers<Methods> {
  const { worker, about, events, audit } = options;
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
      answer: (request, signal, caller) => watch(events, request, { signal, caller }),
    },
    ListAudit: {
      check(checks, request) {
        checks.nameOrAll(request.pipeline, 'pipeline').page(request);
        checks.whole(request.sinceMs, 'since_ms', { min: 0, max: Number.MAX_SAFE_INTEGER });
      },
      async answer({ pipeline, sinceMs, pageSize, pageToken }, _, caller) {
        const { items, nextPageToken } = await audit.page({
          pipeline: pipeline || null,
          sinceMs,
          pageSize: pageSize || PAGE_SIZE,
          pageToken: pageToken || null,
          sees: about => caller.may('operate', about),
        });
        return { entries: items.map(auditToWire), nextPageToken: nextPageToken ?? '' };
      },
    },
  };
}

async function* watch(
  events: EventHistory,
  request: { pipeline: string; level: string | number; past: number; pastOnly: boolean },
  { signal, caller }: { signal: AbortSignal; caller: Caller },
): AsyncGenerator<{ event: EventWire }, void, void> {
  const least = LEVELS.indexOf(levelFromWire(request.level));
  // What is about the worker may speak of any pipeline, so it is for those who may see all of them.
  const seen = ({ pipeline }: Event) => caller.may('read', typeof pipeline === 'string' ? pipeline : null);
  const wanted = (event: Event) =>
    LEVELS.indexOf(event.level) >= least &&
    (request.pipeline === '' || event.pipeline === request.pipeline) &&
    seen(event);
  const waiting: SeenEvent[] = [];
  let behind = false;
  let wake = () => {};
  const unfollow = events.follow(happened => {
    if (behind || !wanted(happened.event)) return;
    if (waiting.push(happened) > BEHIND_MAX) behind = true;
    wake();
  });
  const left = () => wake();
  signal.addEventListener('abort', left, { once: true });
  try {
    // In the same turn as `follow`: nothing is missed between the past and what follows, and nothing told twice.
    const past = events.past({ count: PAST_MAX }).filter(({ event }) => wanted(event));
    if (request.past > 0) for (const one of past.slice(-request.past)) yield { event: eventToWire(one) };
    while (!request.pastOnly && !signal.aborted) {
      if (behind) {
        throw new MillraceError('LIMIT_REACHED', 'events came faster than they were read; watch again, with the past');
      }
      const next = waiting.shift();
      if (next !== undefined) yield { event: eventToWire(next) };
      else await new Promise<void>(resolve => (wake = resolve));
    }
  } finally {
    unfollow();
    signal.removeEventListener('abort', left);
  }
}
