/**
 * ServerService: who answers, what happens, and who has changed what. Events are those of all workers; any
 * worker puts them together, and can read the audit.
 */
import { MillraceError } from '../base/errors.ts';
import type { Event, Level } from '../observe/events.ts';
import type { Audit } from '../service/audit.ts';
import type { EventHistory, ToldEvent } from '../service/views.ts';
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
/** Events that a watcher may be behind; one that is further behind is told and dropped. */
const BEHIND_MAX = 1_000;

/** What is missing of the events of others. */
const ABOUT_EVENTS: ReadonlySet<string> = new Set(['events.unreachable', 'events.missed']);
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
  // That something is not told is told to all.
  const wanted = (event: Event) =>
    ABOUT_EVENTS.has(event.event) ||
    (LEVELS.indexOf(event.level) >= least &&
      (request.pipeline === '' || event.pipeline === request.pipeline) &&
      seen(event));
  const waiting: ToldEvent[] = [];
  let behind = false;
  let wake = () => {};
  const { past, stop } = await events.watch(happened => {
    if (behind || !wanted(happened.event)) return;
    if (waiting.push(happened) > BEHIND_MAX) behind = true;
    wake();
  });
  const left = () => wake();
  signal.addEventListener('abort', left, { once: true });
  try {
    const shown = past.filter(({ event }) => wanted(event));
    const first =
      request.past > 0 ? shown.slice(-request.past) : shown.filter(({ event }) => ABOUT_EVENTS.has(event.event));
    for (const one of first) yield { event: eventToWire(one) };
    while (!request.pastOnly && !signal.aborted) {
      if (behind) {
        throw new MillraceError('LIMIT_REACHED', 'events came faster than they were read; watch again, with the past');
      }
      const next = waiting.shift();
      if (next !== undefined) yield { event: eventToWire(next) };
      else await new Promise<void>(resolve => (wake = resolve));
    }
  } finally {
    stop();
    signal.removeEventListener('abort', left);
  }
}
