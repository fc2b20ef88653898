/**
 * Telemetry of one process: metrics, and the HTTP server that shows them beside the probes. It is up before the worker
 * is, and after it: a worker that waits for its broker is alive, and not ready, and says so.
 *
 * Alive means that the event loop turns (or nobody would answer) and no invariant is broken; nothing that a restart could
 * not mend makes it dead, least of all a broker that is away.
 */
import { bareHost, splitAddress } from '../lib/base/address.ts';
import { isMillraceError, type MillraceError } from '../lib/base/errors.ts';
import { VERSION } from '../lib/base/package.ts';
import type { Event, Observer } from '../lib/observe/events.ts';
import { ObserveServer, type Probe, probeOf } from '../lib/observe/http.ts';
import { type Meter, noMeter } from '../lib/observe/meter.ts';
import { type Look, Metrics } from '../lib/observe/metrics.ts';

/** Where metrics go: `host:port` (and whether another port will do, when that one is taken), or nowhere. */
export type MetricsAddress = { readonly address: string; readonly orAnyPort: boolean } | 'off';

/** What telemetry asks a worker. */
export interface Watched {
  readonly name: string;
  look(): Look;
  readiness(): Probe;
}

export class Telemetry implements Observer {
  /** `host:port`; null: it listens nowhere. */
  address: string | null = null;
  readonly #metrics: Metrics | null;
  #server: ObserveServer | null = null;
  #watched: Watched | null = null;
  #fatal: MillraceError | null = null;

  private constructor(metrics: Metrics | null) {
    this.#metrics = metrics;
  }

  /** Throws INVALID_ARGUMENT when it cannot listen there. */
  static async start(where: MetricsAddress): Promise<Telemetry> {
    if (where === 'off') return new Telemetry(null);
    const metrics = new Metrics({ version: VERSION, processMetrics: true });
    const telemetry = new Telemetry(metrics);
    const [host, port] = splitAddress(where.address);
    const listen = async (port: number) => {
      const server = new ObserveServer({
        host: bareHost(host),
        port,
        metrics: async () => ({ type: metrics.contentType, text: await metrics.text() }),
        live: () => telemetry.#live(),
        ready: () => telemetry.readiness(),
      });
      telemetry.address = `${host}:${await server.start()}`;
      telemetry.#server = server;
    };
    try {
      await listen(port);
    } catch (error) {
      if (!where.orAnyPort || !isMillraceError(error, 'INVALID_ARGUMENT')) throw error;
      await listen(0);
    }
    return telemetry;
  }

  emit(event: Event): void {
    this.#metrics?.emit(event);
  }

  meter(pipeline: string): Meter {
    return this.#metrics?.meter(pipeline) ?? noMeter;
  }

  /** From now on it is this worker that is told of. */
  watch(watched: Watched): void {
    this.#watched = watched;
    this.#metrics?.watch(watched.name, () => watched.look());
  }

  /** An invariant broke. */
  fatal(error: MillraceError): void {
    this.#fatal = error;
  }

  readiness(): Probe {
    return this.#watched?.readiness() ?? probeOf(['the worker is not up yet: it waits for NATS']);
  }

  #live(): Probe {
    return probeOf(this.#fatal === null ? [] : [`${this.#fatal.code}: ${this.#fatal.message}`]);
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }
}
