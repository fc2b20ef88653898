/**
 * From a method of the schema to a call that is served: the request is checked, passed on to the active worker where only
 * that one knows the answer, answered, and an error becomes a status. The files of the services beside this one say what
 * is checked and what the answer is.
 *
 * A call ends when its caller has gone, when its deadline has passed (the library's own timer), or when the worker stops.
 * Streams are pulled: what is not read is not made, so a watcher that does not read misses snapshots and fills no memory.
 */
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import type {
  Metadata,
  MethodDefinition,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
  UntypedHandleCall,
} from '@grpc/grpc-js';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import type { Channel } from './channel.ts';
import { BadRequest, toStatus } from './errors.ts';
import type { Forward } from './forward.ts';
import { REQUEST_BYTES_MAX } from './schema.ts';
import { Checks } from './validate.ts';
import type { MethodName, Request, Response } from './wire.ts';

export type StreamName =
  | 'Watch'
  | 'WatchPipeline'
  | 'WatchWorkers'
  | 'WatchTasks'
  | 'WatchEvents'
  | 'ReplayLetters'
  | 'DiscardLetters';

type Answer<M extends MethodName> = M extends StreamName ? AsyncIterable<Response<M>> : Promise<Response<M>>;

export interface Handler<M extends MethodName> {
  /** Adds what is wrong with the request. */
  check?(checks: Checks, request: Request<M>): void;
  /**
   * Only the active worker knows: ask it, unless it is this one. `or-here`: when it cannot be asked, what is known here
   * will do. A stream that has begun there is not gone on with here.
   */
  readonly active?: 'only' | 'or-here';
  /** @param signal the call is over. */
  answer(request: Request<M>, signal: AbortSignal): Answer<M>;
}

/** One handler for each of the methods. */
export type Handlers<M extends MethodName> = { readonly [K in M]: Handler<K> };

/** What decoding leaves where it failed: the status must be ours, not the library's. */
class Undecoded {
  readonly error: MillraceError;
  constructor(error: MillraceError) {
    this.error = error;
  }
}

/** Decodes requests up to the method's size. Never throws: an error is told when the call is served. */
export function guarded<D extends MethodDefinition<object, object>>(name: string, definition: D): D {
  const bytesMax = name === 'PlanPipeline' || name === 'DeployPipeline' ? Number.POSITIVE_INFINITY : REQUEST_BYTES_MAX;
  const { requestDeserialize } = definition;
  const decode = (bytes: Buffer): object => {
    if (bytes.length > bytesMax) {
      const text = `the request has ${bytes.length} bytes, ${name} takes ${bytesMax}; ask for less at once`;
      return new Undecoded(new MillraceError('LIMIT_REACHED', text));
    }
    try {
      return requestDeserialize(bytes);
    } catch (cause) {
      const text = `the request is no message of ${name}; the client and this worker may be of different versions`;
      return new Undecoded(new MillraceError('INVALID_ARGUMENT', text, { cause }));
    }
  };
  return { ...definition, requestDeserialize: decode };
}

type Unary<M extends MethodName> = ServerUnaryCall<Request<M>, Response<M>>;
type Streaming<M extends MethodName> = ServerWritableStream<Request<M>, Response<M>>;

export class Calls {
  readonly #forward: Forward;
  readonly #observer: Observer;
  readonly #stopping = new AbortController();

  constructor(options: { forward: Forward; observer: Observer }) {
    this.#forward = options.forward;
    this.#observer = options.observer;
  }

  /** Ends all streams. */
  stop(): void {
    this.#stopping.abort();
  }

  serve<M extends MethodName>(name: M, handler: Handler<M>, options: { streams: boolean }): UntypedHandleCall {
    return options.streams
      ? (call: Streaming<M>) => void this.#stream(name, handler, call)
      : (call: Unary<M>, done: sendUnaryData<Response<M>>) => void this.#unary(name, handler, call, done);
  }

  async #unary<M extends MethodName>(
    name: M,
    handler: Handler<M>,
    call: Unary<M>,
    done: sendUnaryData<Response<M>>,
  ): Promise<void> {
    const { signal } = leaving(call);
    try {
      const answer = await this.#answerOf(name, handler, call, signal);
      if (!signal.aborted) done(null, answer);
    } catch (error) {
      if (!signal.aborted) done(this.#failure(error));
    }
  }

  async #answerOf<M extends MethodName>(
    name: M,
    handler: Handler<M>,
    call: Unary<M>,
    signal: AbortSignal,
  ): Promise<Response<M>> {
    const request = checked(handler, call.request);
    const channel = this.#channelFor(handler, call);
    const here = () => handler.answer(request, signal) as Promise<Response<M>>;
    if (channel === null) return here();
    const deadline = this.#forward.deadline(call.getDeadline(), { patient: handler.active === 'only' });
    try {
      return await channel.call(name, request, { signal, deadline });
    } catch (error) {
      if (handler.active === 'or-here' && isMillraceError(error, 'WORKER_UNAVAILABLE')) return here();
      throw error;
    }
  }

  async #stream<M extends MethodName>(name: M, handler: Handler<M>, call: Streaming<M>): Promise<void> {
    const left = leaving(call).signal;
    const signal = AbortSignal.any([left, this.#stopping.signal]);
    try {
      const request = checked(handler, call.request);
      const channel = this.#channelFor(handler, call);
      const answers =
        channel === null
          ? (handler.answer(request, signal) as AsyncIterable<Response<M>>)
          : channel.stream(name, request, { signal });
      for await (const answer of answers) {
        if (signal.aborted) break;
        if (!call.write(answer)) await once(call, 'drain', { signal });
      }
      // A watch has no end of its own, so any end is its end; what was broken off must not look done.
      if (this.#stopping.signal.aborted && !name.startsWith('Watch')) throw stopped();
      call.end();
    } catch (error) {
      if (left.aborted) return;
      if (this.#stopping.signal.aborted && name.startsWith('Watch')) call.end();
      // Not `destroy`: the library turns an `error` event into the call's status, and a destroyed stream sends none.
      else call.emit('error', Object.assign(new Error(), this.#failure(signal.aborted ? stopped() : error)));
    }
  }

  /** Null: the answer is to be given here. Throws WORKER_UNAVAILABLE: only the active worker could. */
  #channelFor<M extends MethodName>(handler: Handler<M>, call: { metadata: Metadata }): Channel | null {
    if (handler.active === undefined) return null;
    const channel = this.#forward.channel(call.metadata);
    if (channel === null && handler.active === 'only') this.#forward.checkKnown();
    return channel;
  }

  #failure(error: unknown) {
    // What the caller did wrong is theirs to know; the rest belongs in our log as well.
    if (!isMillraceError(error) || error.fate !== 'reject') {
      this.#observer.emit({ event: 'call.failed', level: 'warn', ...errorFields(error) });
    }
    return toStatus(error);
  }
}

function stopped(): MillraceError {
  return new MillraceError('WORKER_UNAVAILABLE', 'the worker stops; ask again, and another one will go on');
}

/** Throws INVALID_ARGUMENT with all that is wrong, LIMIT_REACHED. */
function checked<M extends MethodName>(handler: Handler<M>, request: Request<M>): Request<M> {
  if (request instanceof Undecoded) throw request.error;
  const checks = new Checks();
  handler.check?.(checks, request);
  if (checks.violations.length > 0) throw new BadRequest(checks.violations);
  return request;
}

/** Aborts when the call is over, whatever ended it. */
function leaving(call: { once(event: 'cancelled', heard: () => void): unknown; cancelled: boolean }): AbortController {
  const left = new AbortController();
  call.once('cancelled', () => left.abort());
  if (call.cancelled) left.abort();
  return left;
}

/** Snapshots at an interval, until the call is over. 0 means the default. */
export async function* every<T>(
  intervalMs: number,
  signal: AbortSignal,
  snapshot: () => Promise<T>,
): AsyncGenerator<T, void, void> {
  while (!signal.aborted) {
    yield await snapshot();
    await pause(intervalMs || WATCH_MS_DEFAULT, undefined, { signal }).catch(() => {});
  }
}

const WATCH_MS_DEFAULT = 1_000;
