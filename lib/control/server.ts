/**
 * The control interface's server, one in every worker: puts the services, health checks and reflection on one port, behind
 * TLS and a gate that knows who calls where that is asked for. The services only translate; each is a file beside this one.
 */
import { lookup } from 'node:dns/promises';
import { Server, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { bareHost, splitAddress } from '../base/address.ts';
import { MillraceError, messageOf } from '../base/errors.ts';
import type { Observer } from '../observe/events.ts';
import type { Audit } from '../service/audit.ts';
import type { Commands } from '../service/commands.ts';
import type { EventHistory, Letters } from '../service/views.ts';
import { type About, aboutHandlers } from './about.ts';
import { type Access, accessOfPeers, checkAccess, serverCredentials } from './access.ts';
import { Admission } from './admission.ts';
import { Calls, guarded, type Handler, type Handlers } from './calls.ts';
import { Forward, type Serving } from './forward.ts';
import { Gate } from './gate.ts';
import { healthHandlers } from './health.ts';
import { letterHandlers } from './letters.ts';
import { pipelineHandlers } from './pipelines.ts';
import { addReflection } from './reflection.ts';
import { MESSAGE_BYTES_MAX, type ServiceName, serviceSchema } from './schema.ts';
import { stateHandlers } from './state.ts';
import type { MethodName } from './wire.ts';
import { workerHandlers } from './workers.ts';

export interface ServerOptions {
  /** `host:port`; port 0 takes a free one. */
  readonly listen: string;
  readonly commands: Commands;
  readonly letters: Letters;
  readonly events: EventHistory;
  readonly worker: Serving;
  readonly observer: Observer;
  readonly about: About;
  /** For health checks. */
  healthy(): boolean;
  readonly audit: Pick<Audit, 'changed' | 'refused' | 'page'>;
  /** Default: anybody who reaches it, without TLS. */
  readonly access?: Access;
  /** How often files of certificates, tokens and identities are looked at, ms. Default 10,000. */
  readonly reloadMs?: number;
}

/** Calls at once over one connection; more wait. */
const STREAMS_MAX = 200;
/** What one connection may make the process hold, MB: a plan that nobody reads, and some more. */
const SESSION_MEGABYTES_MAX = 128;

export class AdminServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #calls: Calls;
  readonly #forward: Forward;
  readonly #credentials: ReturnType<typeof serverCredentials>;
  readonly #admission: Admission;
  readonly #looking: NodeJS.Timeout;

  /** Throws INVALID_ARGUMENT: a file of `access` cannot be used, or others could reach it who should not. */
  constructor(options: ServerOptions) {
    const { commands, worker, observer, audit, access = {}, reloadMs = 10_000 } = options;
    checkAccess(options.listen, access);
    this.#options = options;
    this.#credentials = serverCredentials(access.tls, observer);
    const admission = new Admission(access, observer);
    this.#admission = admission;
    const gate = new Gate({ admission, refused: noted => audit.refused(noted) });
    this.#forward = new Forward({ worker, access: () => accessOfPeers(access, admission.token) });
    this.#calls = new Calls({ forward: this.#forward, gate, audit, observer });
    this.#looking = setInterval(() => this.#renew(), reloadMs).unref();
    this.#server = new Server({
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_concurrent_streams': STREAMS_MAX,
      'grpc-node.max_session_memory': SESSION_MEGABYTES_MAX,
      // A caller whose machine is gone says nothing; what is held for it is let go.
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      interceptors: [gate.interceptor],
    });
    this.#serve('PipelineService', pipelineHandlers(commands));
    this.#serve('WorkerService', workerHandlers(commands));
    this.#serve('StateService', stateHandlers(commands));
    this.#serve('LetterService', letterHandlers(options.letters));
    this.#serve('ServerService', aboutHandlers(options));
    this.#serve('Health', healthHandlers(options.healthy));
    addReflection(this.#server);
  }

  /**
   * Returns the port, and the addresses that it listens at: more than one where a name stands for several. Throws
   * INVALID_ARGUMENT when it cannot listen there.
   */
  async start(): Promise<{ readonly port: number; readonly addresses: readonly string[] }> {
    const { listen } = this.#options;
    const [name, wanted] = splitAddress(listen);
    const addresses: string[] = [];
    let [port, failure] = [wanted, null as unknown];
    try {
      for (const { address, family } of await lookup(bareHost(name), { all: true })) {
        const host = family === 6 ? `[${address}]` : address;
        try {
          port = await this.#bind(`${host}:${port}`);
          addresses.push(`${host}:${port}`);
        } catch (error) {
          // Where a name stands for several addresses, one is enough: not every machine that has ::1 can use it.
          failure = error;
        }
      }
    } catch (error) {
      failure = error;
    }
    if (addresses.length > 0) return { port, addresses };
    const text = `cannot listen on ${listen}: ${messageOf(failure)}; give another address with --listen HOST:PORT`;
    throw new MillraceError('INVALID_ARGUMENT', text, { cause: failure });
  }

  #bind(address: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, this.#credentials.credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  /** Reads what has changed of the files, and lets go of what was by what stood there before. */
  #renew(): void {
    const isCertificateNew = this.#credentials.renew();
    const isAnybodyNew = this.#admission.renew();
    if (isCertificateNew || isAnybodyNew) this.#forward.renew();
    if (isAnybodyNew) this.#calls.end(caller => this.#admission.isOutdated(caller));
  }

  /** Ends streams, lets calls under way finish until the deadline. */
  async stop(options: { deadlineMs: number }): Promise<void> {
    this.#calls.stop();
    clearInterval(this.#looking);
    await new Promise<void>(resolve => {
      const timer = setTimeout(() => {
        this.#server.forceShutdown();
        resolve();
      }, options.deadlineMs);
      this.#server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
    this.#forward.close();
  }

  #serve<M extends MethodName>(name: ServiceName, handlers: Handlers<M>): void {
    const definition: Record<string, ServiceDefinition[string]> = {};
    const implementation: UntypedServiceImplementation = {};
    for (const [method, schema] of Object.entries(serviceSchema(name))) {
      const handler = handlers[method as M] as unknown as Handler<MethodName>;
      definition[method] = guarded(method, schema);
      implementation[method] = this.#calls.serve(method as MethodName, handler, { streams: schema.responseStream });
    }
    this.#server.addService(definition, implementation);
  }
}
