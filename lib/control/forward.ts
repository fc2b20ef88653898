/**
 * Calls that only the worker which leads can answer, on their way to it. A call that was passed on once is answered where it
 * arrives, so two workers that take each other for the leader do not pass it on for ever. It goes along with the name of
 * whoever called, who may there what that worker knows of the name (`admission.ts`).
 */
import type { Deadline } from '@grpc/grpc-js';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { FORWARDED, ON_BEHALF } from './admission.ts';
import { Channel, type ClientOptions } from './channel.ts';
import type { Caller } from './roles.ts';

/** What must be known of a worker. */
export interface Serving {
  readonly name: string;
  readonly active: boolean;
  readonly holder: { readonly name: string; readonly address: string | null } | null;
}

/** How long an answer is waited for where another way to answer is left: a frozen worker must not freeze the others. */
const PATIENCE_MS = 5_000;
const TIMEOUT_MS = 60_000;

export class Forward {
  readonly #worker: Serving;
  readonly #access: () => Omit<ClientOptions, 'address'>;
  #channel: Channel | null = null;

  /** @param options.access how the other workers are reached now: the same token and authorities for all. */
  constructor(options: { worker: Serving; access: () => Omit<ClientOptions, 'address'> }) {
    this.#worker = options.worker;
    this.#access = options.access;
  }

  /** A channel to the worker that leads, or null when the call should be answered here. */
  channel({ via }: Caller): Channel | null {
    const { active, holder, name } = this.#worker;
    const address = holder?.address ?? null;
    if (active || address === null || via !== null) return null;
    if (this.#channel?.address !== address) {
      this.#channel?.close();
      this.#channel = new Channel({ ...this.#access(), address }, { [FORWARDED]: name });
    }
    return this.#channel;
  }

  /** The token or a certificate has changed: the next call goes with what is there now. */
  renew(): void {
    this.#channel?.close();
    this.#channel = null;
  }

  /** What goes along with a call. */
  headers({ name }: Caller): Readonly<Record<string, string>> {
    return { [ON_BEHALF]: name };
  }

  /** An error of the worker that leads as whoever called should hear it. */
  failure(error: unknown): unknown {
    if (!isMillraceError(error, 'UNAUTHENTICATED')) return error;
    const who = `the worker that leads, ${this.#worker.holder?.name}, does not let this one in (${error.message})`;
    const text = `${who}: workers need a token or certificate with the role peer; until then ask that one`;
    return new MillraceError('WORKER_UNAVAILABLE', text, { cause: error });
  }

  /** Throws WORKER_UNAVAILABLE when another worker leads: this one knows only its own part then. */
  checkKnown(): void {
    const { active, holder } = this.#worker;
    if (active || holder === null) return;
    const where =
      holder.address === null ? 'which tells nobody its address; ask it, or let it --advertise one' : 'ask again';
    throw new MillraceError('WORKER_UNAVAILABLE', `only the worker that leads knows, ${holder.name}: ${where}`);
  }

  /** The caller's deadline, or ours if that is earlier; ms since 1970. */
  deadline(callers: Deadline, options: { patient: boolean }): number {
    const ours = Date.now() + (options.patient ? TIMEOUT_MS : PATIENCE_MS);
    return Math.min(Number(callers), ours);
  }

  close(): void {
    this.#channel?.close();
  }
}
