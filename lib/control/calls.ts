/**
 * From a method of the schema to a call that is served: the request is checked, and whether its caller may; it is passed on
 * to the worker that leads where only that one knows the answer, answered, noted if it was to change something, and an error
 * becomes a status. The files of the services beside this one say what is checked and what the answer is.
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
import { PIPELINE_NAME } from '../record/names.ts';
import type { Audit } from '../service/audit.ts';
import type { Channel } from './channel.ts';
import { BadRequest, toStatus } from './errors.ts';
import type { Forward } from './forward.ts';
import { type Gate, refusal } from './gate.ts';
import { Caller, Denied } from './roles.ts';
import { RULES, type Rule } from './rules.ts';
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
   * Only the worker that leads knows: ask it, unless it is this one. `or-here`: when it cannot be asked, what is known here
   * will do. A stream that has begun there is not gone on with here.
   */
  readonly active?: 'only' | 'or-here';
  /** @param signal the call is over. @param caller may do it; what it may not see is left out. */
  answer(request: Request<M>, signal: AbortSignal, caller: Caller): Answer<M>;
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

/** What is noted of a call. */
export type Notes = Pick<Audit, 'changed' | 'refused'>;

export class Calls {
  readonly #forward: Forward;
  readonly #gate: Gate;
  readonly #audit: Notes;
  readonly #observer: Observer;
  readonly #stopping = new AbortController();
  /** Streams that are open, with what ends each. */
  readonly #open = new Map<AbortController, Caller>();

  constructor(options: { forward: Forward; gate: Gate; audit: Notes; observer: Observer }) {
    this.#forward = options.forward;
    this.#gate = options.gate;
    this.#audit = options.audit;
    this.#observer = options.observer;
  }

  /** Ends all streams. */
  stop(): void {
    this.#stopping.abort();
  }

  /** Ends the streams of those who may not what they might when these were opened. */
  end(isOutdated: (caller: Caller) => boolean): void {
    for (const [ending, caller] of this.#open) if (caller !== NOBODY && isOutdated(caller)) ending.abort(OUTDATED);
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
    const caller = callerOf(this.#gate, name, call);
    try {
      const answer = await this.#answerOf(name, handler, call, { signal, caller });
      this.#note(name, call, caller, { answer });
      if (!signal.aborted) done(null, answer);
    } catch (error) {
      this.#note(name, call, caller, { error });
      if (!signal.aborted) done(this.#failure(error));
    }
  }

  async #answerOf<M extends MethodName>(
    name: M,
    handler: Handler<M>,
    call: Unary<M>,
    { signal, caller }: { signal: AbortSignal; caller: Caller },
  ): Promise<Response<M>> {
    const request = checked(handler, call.request);
    permit(name, request, caller);
    const channel = this.#channelFor(handler, caller);
    const here = () => handler.answer(request, signal, caller) as Promise<Response<M>>;
    if (channel === null) return here();
    const deadline = this.#forward.deadline(call.getDeadline(), { patient: handler.active === 'only' });
    try {
      return await channel.call(name, request, { signal, deadline, headers: this.#forward.headers(caller) });
    } catch (cause) {
      const error = this.#forward.failure(cause);
      if (handler.active === 'or-here' && isMillraceError(error, 'WORKER_UNAVAILABLE')) return here();
      throw error;
    }
  }

  async #stream<M extends MethodName>(name: M, handler: Handler<M>, call: Streaming<M>): Promise<void> {
    const left = leaving(call).signal;
    const ending = new AbortController();
    const signal = AbortSignal.any([left, this.#stopping.signal, ending.signal]);
    const caller = callerOf(this.#gate, name, call);
    let answer: Response<M> | null = null;
    this.#open.set(ending, caller);
    try {
      const request = checked(handler, call.request);
      permit(name, request, caller);
      const channel = this.#channelFor(handler, caller);
      const answers =
        channel === null
          ? (handler.answer(request, signal, caller) as AsyncIterable<Response<M>>)
          : channel.stream(name, request, { signal, headers: this.#forward.headers(caller) });
      for await (answer of answers) {
        if (signal.aborted) break;
        if (!call.write(answer)) await once(call, 'drain', { signal });
      }
      if (ending.signal.aborted) throw ending.signal.reason;
      // A watch has no end of its own, so any end is its end; what was broken off must not look done.
      if (this.#stopping.signal.aborted && !name.startsWith('Watch')) throw stopped();
      this.#note(name, call, caller, left.aborted ? { answer, error: GONE } : { answer });
      call.end();
    } catch (cause) {
      const error = ending.signal.aborted ? ending.signal.reason : this.#forward.failure(cause);
      this.#note(name, call, caller, { answer, error: left.aborted ? GONE : error });
      if (left.aborted) return;
      if (this.#stopping.signal.aborted && name.startsWith('Watch')) call.end();
      // Not `destroy`: the library turns an `error` event into the call's status, and a destroyed stream sends none.
      else {
        const told = this.#stopping.signal.aborted ? stopped() : error;
        call.emit('error', Object.assign(new Error(), this.#failure(told)));
      }
    } finally {
      this.#open.delete(ending);
    }
  }

  /** Tells the audit what is worth it: what was to change something, and refusals. */
  #note<M extends MethodName>(
    name: M,
    call: { request: Request<M> },
    caller: Caller,
    { answer = null, error }: { answer?: Response<M> | null; error?: unknown },
  ): void {
    const { request } = call;
    if (request instanceof Undecoded) return;
    const rule = RULES[name] as Rule<M>;
    const asked = rule.pipeline?.(request) ?? '';
    if (error instanceof Denied) {
      const pipeline = pipelineOr(error.pipeline ?? asked);
      this.#audit.refused(refusal({ caller, from: caller.from, method: name, pipeline, error }));
      return;
    }
    if (rule.changes?.(request) !== true) return;
    const told = (answer ?? {}) as { readonly name?: string; readonly revision?: number };
    const outcome = answer === null ? null : (rule.outcome?.(answer) ?? 'done');
    this.#audit.changed({
      ...{ who: caller.name, from: caller.from, via: caller.via, method: name },
      pipeline: pipelineOr(told.name ?? asked),
      revision: told.revision ?? null,
      bundleHash: (request as { readonly bundle?: { readonly hash: string } }).bundle?.hash ?? null,
      outcome: error === undefined ? (outcome ?? 'done') : outcome === null ? 'failed' : `failed after ${outcome}`,
      code:
        error === undefined ? null : error === GONE ? 'CANCELLED' : isMillraceError(error) ? error.code : 'UNEXPECTED',
    });
  }

  /** Null: the answer is to be given here. Throws WORKER_UNAVAILABLE: only the one that leads could. */
  #channelFor<M extends MethodName>(handler: Handler<M>, caller: Caller): Channel | null {
    if (handler.active === undefined) return null;
    const channel = this.#forward.channel(caller);
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

/** Who calls what is open to all. */
const NOBODY = new Caller({ name: '', grants: [] }, { from: '', knownBy: '' });
const GONE = new Error('the caller has left');
const OUTDATED = new MillraceError(
  'PERMISSION_DENIED',
  'what you may do has changed while this was open; ask again, and it will be judged by what you may do now',
);

function callerOf(gate: Gate, name: MethodName, call: { readonly metadata: Metadata }): Caller {
  return RULES[name].role === 'open' ? NOBODY : gate.callerOf(call);
}

/** Throws PERMISSION_DENIED. That the caller has the role for any pipeline at all the gate has seen. */
function permit<M extends MethodName>(name: M, request: Request<M>, caller: Caller): void {
  const rule = RULES[name] as Rule<M>;
  const { role } = rule;
  if (role === 'open' || role === 'known') return;
  const pipeline = rule.pipeline?.(request) || undefined;
  caller.check(role, pipeline);
  const further = rule.also?.(request) ?? null;
  if (further !== null) caller.check(further, pipeline);
}

/** Callers may ask for anything; what is no name of a pipeline is not noted as one. */
function pipelineOr(name: string): string | null {
  return PIPELINE_NAME.test(name) ? name : null;
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
