/** What a connection to the broker tells, as events: the same of the main thread's and of the engine's. */
import type { LinkStatus } from '../lib/nats/connection.ts';
import type { Event } from '../lib/observe/events.ts';

export function linkEvent(status: LinkStatus): Event {
  switch (status.kind) {
    case 'connected':
      return { event: 'nats.connected', level: 'info', server: status.server };
    case 'disconnected':
      return { event: 'nats.disconnected', level: 'warn' };
    case 'refused':
      return { event: 'nats.refused', level: 'error', message: status.message };
    case 'misanswered': {
      const { subject, count, isNews, message } = status;
      return { event: 'nats.misanswered', level: isNews ? 'warn' : 'debug', subject, count, message };
    }
    case 'starved':
      return { event: 'nats.starved', level: 'warn', stream: status.stream, message: status.message };
    case 'closed':
      return { event: 'nats.closed', level: 'error', message: status.cause ? String(status.cause) : null };
  }
}
