/**
 * The standard health service (`grpc.health.v1.Health`), for Kubernetes probes and load balancers: the same answer for the
 * whole server (an empty name) and for each of its services, since all of them need the same things.
 */
import { MillraceError } from '../base/errors.ts';
import { every, type Handlers } from './calls.ts';
import { SERVICES } from './schema.ts';
import type { HealthWire } from './wire.ts';

const NAMES: readonly string[] = ['', ...Object.values(SERVICES).filter(name => name !== SERVICES.Health)];
/** How late a watcher may hear of a change. */
const LOOK_MS = 250;

/** @param healthy whether the worker is connected and not stopping; whoever leads. */
export function healthHandlers(healthy: () => boolean): Handlers<'Check' | 'List' | 'Watch'> {
  const status = (): HealthWire => (healthy() ? 'SERVING' : 'NOT_SERVING');
  return {
    Check: {
      async answer({ service }) {
        if (NAMES.includes(service)) return { status: status() };
        throw new MillraceError('NOT_FOUND', `there is no such service; there are: ${NAMES.slice(1).join(', ')}`);
      },
    },
    List: { answer: async () => ({ statuses: Object.fromEntries(NAMES.map(name => [name, { status: status() }])) }) },
    Watch: {
      async *answer({ service }, signal) {
        const look = async () => (NAMES.includes(service) ? status() : 'SERVICE_UNKNOWN');
        let told: HealthWire | null = null;
        for await (const now of every(LOOK_MS, signal, look)) {
          if (now === told) continue;
          told = now;
          yield { status: now };
        }
      },
    },
  };
}
