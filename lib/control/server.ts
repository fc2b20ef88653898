/**
 * The control interface's server, one in every worker: turns requests into commands and their results into answers,
 * and nothing else. What only the active worker can say (live status) is passed on to it, once: a call that was passed
 * on already is answered with what is known here.
 */
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import type { Commands } from '../worker/commands.ts';
import type { Bundle } from '../worker/host.ts';
import { Channel } from './channel.ts';
import { toStatus } from './errors.ts';
import { healthHandlers, healthService } from './health.ts';
import { outcomeToWire, pipelineToWire, planToWire } from './messages.ts';
import { MESSAGE_BYTES_MAX, serviceSchema } from './schema.ts';
import type { MethodName } from './wire.ts';

/** What the server needs to know of its worker. */
export interface Serving {
  readonly name: string;
  readonly active: boolean;
  readonly holder: { readonly name: string; readonly address: string | null } | null;
}

export interface ServerOptions {
  /** `host:port`; port 0 takes a free one. */
  readonly listen: string;
  readonly commands: Commands;
  readonly worker: Serving;
  readonly observer: Observer;
  readonly version: string;
  readonly natsUrl: string;
  /** Ms since 1970. */
  readonly startedAtMs: number;
  /** For health checks. */
  healthy(): boolean;
}

const FORWARDED = 'millrace-forwarded';
const WATCH_MS_DEFAULT = 1_000;
const WATCH_MS_MIN = 100;
const FORWARD_TIMEOUT_MS = 5_000;

type Unary = ServerUnaryCall<Record<string, unknown>, unknown>;
type Watching = ServerWritableStream<Record<string, unknown>, unknown>;

export class AdminServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #watching = new Set<Watching>();
  #holder: Channel | null = null;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#server = new Server({
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
    });
    for (const name of ['PipelineService', 'ServerService'] as const) {
      this.#server.addService(serviceSchema(name), this.#handlers());
    }
    this.#server.addService(healthService(), healthHandlers(options.healthy));
  }

  /** Returns the port it listens on. Throws INVALID_ARGUMENT when it cannot listen there. */
  start(): Promise<number> {
    const { listen } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(listen, ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) return resolve(port);
        const text = `cannot listen on ${listen}: ${error.message}; give another address with --listen HOST:PORT`;
        reject(new MillraceError('INVALID_ARGUMENT', text, { cause: error }));
      });
    });
  }

  /** Ends watches, lets calls under way finish until the deadline. */
  async stop(options: { deadlineMs: number }): Promise<void> {
    for (const call of this.#watching) call.end();
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
    this.#holder?.close();
  }

  #handlers(): UntypedServiceImplementation {
    const { commands, worker, version, natsUrl, startedAtMs } = this.#options;
    return {
      GetServerInfo: this.#unary(async () => ({
        version,
        worker: worker.name,
        activeWorker: worker.holder?.name ?? '',
        activeAddress: worker.holder?.address ?? '',
        natsUrl,
        startedAtMs,
        natsVersion: '',
        natsConnected: this.#options.healthy(),
      })),
      PlanPipeline: this.#unary(async request => planToWire(await commands.plan(bundleOf(request)))),
      DeployPipeline: this.#unary(async request => {
        const answer = await commands.deploy(bundleOf(request), { dryRun: request.dryRun === true });
        return { ...answer, outcome: outcomeToWire(answer.outcome) };
      }),
      ListPipelines: this.#asked('ListPipelines', async () => {
        const views = await commands.list();
        return { pipelines: views.map(view => pipelineToWire(view, { tasks: false })) };
      }),
      GetPipeline: this.#asked('GetPipeline', async request => ({
        pipeline: pipelineToWire(await commands.get(nameOf(request)), { tasks: true }),
      })),
      DescribePipeline: this.#asked('DescribePipeline', async request => {
        const view = await commands.get(nameOf(request));
        const { text, summary } = view.spec;
        return { pipeline: pipelineToWire(view, { tasks: true }), text, summaryJson: JSON.stringify(summary) };
      }),
      RestartPipeline: this.#unary(async request => ({ revision: await commands.restart(nameOf(request)) })),
      DeletePipeline: this.#unary(request => commands.delete(nameOf(request), { purge: request.purge === true })),
      WatchPipeline: (call: Watching) => void this.#watch(call),
    };
  }

  #unary(answer: (request: Record<string, unknown>) => Promise<object>) {
    return this.#answered(call => answer(call.request));
  }

  /** Like `unary`, but asks the active worker first if that is another. */
  #asked(method: MethodName, answer: (request: Record<string, unknown>) => Promise<object>) {
    return this.#answered(async call => {
      const holder = this.#holderFor(call.metadata);
      if (holder === null) return answer(call.request);
      try {
        return await holder.call(method, call.request as never);
      } catch (error) {
        if (!isMillraceError(error, 'WORKER_UNAVAILABLE')) throw error;
        return answer(call.request);
      }
    });
  }

  #answered(answer: (call: Unary) => Promise<object>) {
    return (call: Unary, done: sendUnaryData<unknown>) => {
      answer(call).then(
        response => done(null, response),
        error => done(this.#failure(error)),
      );
    };
  }

  async #watch(call: Watching): Promise<void> {
    this.#watching.add(call);
    const left = new Promise<void>(resolve => {
      call.once('cancelled', resolve);
      call.once('close', resolve);
    });
    try {
      const intervalMs = Number(call.request.intervalMs) || WATCH_MS_DEFAULT;
      if (intervalMs < WATCH_MS_MIN) {
        throw new MillraceError('INVALID_ARGUMENT', `interval_ms is ${intervalMs}; take at least ${WATCH_MS_MIN}`);
      }
      const name = nameOf(call.request);
      const holder = this.#holderFor(call.metadata);
      if (holder !== null) await this.#passOn(call, holder);
      else await this.#sendStatuses(call, { name, intervalMs, left });
      call.end();
    } catch (error) {
      // Not `destroy`: the library turns an `error` event into the call's status, and a destroyed stream sends none.
      call.emit('error', Object.assign(new Error(), this.#failure(error)));
    } finally {
      this.#watching.delete(call);
    }
  }

  async #sendStatuses(call: Watching, options: { name: string; intervalMs: number; left: Promise<void> }) {
    const { commands } = this.#options;
    for (let first = true; !call.cancelled && !call.writableEnded; first = false) {
      try {
        const view = await commands.get(options.name);
        // A client that does not keep up misses snapshots, it does not fill memory.
        if (!call.writableNeedDrain && !call.writableEnded)
          call.write({ pipeline: pipelineToWire(view, { tasks: true }) });
      } catch (error) {
        if (first || !isMillraceError(error, 'NOT_FOUND')) throw error;
        return;
      }
      let timer: NodeJS.Timeout | undefined;
      const tick = new Promise<void>(resolve => {
        timer = setTimeout(resolve, options.intervalMs);
      });
      await Promise.race([tick, options.left]);
      clearTimeout(timer);
    }
  }

  async #passOn(call: Watching, holder: Channel): Promise<void> {
    const left = new AbortController();
    call.once('cancelled', () => left.abort());
    for await (const message of holder.stream('WatchPipeline', call.request as never, { signal: left.signal })) {
      if (call.writableEnded) break;
      if (!call.writableNeedDrain) call.write(message);
    }
  }

  /** A client of the active worker, or null when the call should be answered here. */
  #holderFor(metadata: Metadata): Channel | null {
    const { worker } = this.#options;
    const address = worker.holder?.address ?? null;
    if (worker.active || address === null || metadata.get(FORWARDED).length > 0) return null;
    if (this.#holder?.address !== address) {
      this.#holder?.close();
      this.#holder = new Channel({ address, timeoutMs: FORWARD_TIMEOUT_MS }, { [FORWARDED]: worker.name });
    }
    return this.#holder;
  }

  #failure(error: unknown) {
    const failure = toStatus(error);
    // What the caller did wrong is theirs to know; the rest belongs in our log as well.
    if (!isMillraceError(error) || error.fate !== 'reject') {
      this.#options.observer.emit({ event: 'call.failed', level: 'warn', ...errorFields(error) });
    }
    return failure;
  }
}

function nameOf(request: Record<string, unknown>): string {
  const { name } = request;
  if (typeof name === 'string' && name !== '') return name;
  throw new MillraceError('INVALID_ARGUMENT', 'the name of the pipeline is missing');
}

function bundleOf(request: Record<string, unknown>): Bundle {
  const bundle = request.bundle as Bundle | null;
  if (bundle === null || bundle.code.length === 0) {
    throw new MillraceError('INVALID_ARGUMENT', 'the bundle is missing or empty');
  }
  return bundle;
}
