/**
 * The control interface's server, one in every worker: puts the services, health checks and reflection on one port, behind
 * TLS and a token where they are asked for. The services only translate; each is a file beside this one.
 */
import { Server, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { MillraceError } from '../base/errors.ts';
import type { Observer } from '../observe/events.ts';
import type { Commands } from '../service/commands.ts';
import type { EventHistory, Letters } from '../service/views.ts';
import { type About, aboutHandlers } from './about.ts';
import { type Access, accessOfPeers, checkAccess, gate, serverCredentials } from './access.ts';
import { Calls, guarded, type Handler, type Handlers } from './calls.ts';
import { Forward, type Serving } from './forward.ts';
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
  /** Default: anybody who reaches it, without TLS. */
  readonly access?: Access;
  /** How often certificates are looked at, ms. Default 10,000. */
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

  /** Throws INVALID_ARGUMENT: a certificate cannot be used, or a token would travel without TLS. */
  constructor(options: ServerOptions) {
    const { commands, worker, observer, access = {}, reloadMs = 10_000 } = options;
    checkAccess(options.listen, access);
    this.#options = options;
    this.#credentials = serverCredentials(access.tls, { observer, reloadMs });
    this.#forward = new Forward({ worker, access: accessOfPeers(access) });
    this.#calls = new Calls({ forward: this.#forward, observer });
    this.#server = new Server({
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_concurrent_streams': STREAMS_MAX,
      'grpc-node.max_session_memory': SESSION_MEGABYTES_MAX,
      // A caller whose machine is gone says nothing; what is held for it is let go.
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      interceptors: [gate(access.token)],
    });
    this.#serve('PipelineService', pipelineHandlers(commands));
    this.#serve('WorkerService', workerHandlers(commands));
    this.#serve('StateService', stateHandlers(commands));
    this.#serve('LetterService', letterHandlers(options.letters));
    this.#serve('ServerService', aboutHandlers(options));
    this.#serve('Health', healthHandlers(options.healthy));
    addReflection(this.#server);
  }

  /** Returns the port it listens on. Throws INVALID_ARGUMENT when it cannot listen there. */
  start(): Promise<number> {
    const { listen } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(listen, this.#credentials.credentials, (error, port) => {
        if (error === null) return resolve(port);
        const text = `cannot listen on ${listen}: ${error.message}; give another address with --listen HOST:PORT`;
        reject(new MillraceError('INVALID_ARGUMENT', text, { cause: error }));
      });
    });
  }

  /** Ends streams, lets calls under way finish until the deadline. */
  async stop(options: { deadlineMs: number }): Promise<void> {
    this.#calls.stop();
    this.#credentials.stop();
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
