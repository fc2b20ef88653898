/**
 * Calls that only the active worker can answer, on their way to it. A call that was passed on once is answered where it
 * arrives, so two workers that take each other for the active one do not pass it on for ever.
 */
import type { Deadline, Metadata } from '@grpc/grpc-js';
import { MillraceError } from '../base/errors.ts';
import { Channel, type ClientOptions } from './channel.ts';

/** What must be known of a worker. */
export interface Serving {
  readonly name: string;
  readonly active: boolean;
  readonly holder: { readonly name: string; readonly address: string | null } | null;
}

const FORWARDED = 'millrace-forwarded';
/** How long an answer is waited for where another way to answer is left: a frozen worker must not freeze the others. */
const PATIENCE_MS = 5_000;
const TIMEOUT_MS = 60_000;

export class Forward {
  readonly #worker: Serving;
  readonly #access: Omit<ClientOptions, 'address'>;
  #channel: Channel | null = null;

  /** @param options.access how the other workers are reached: the same token and authorities for all. */
  constructor(options: { worker: Serving; access: Omit<ClientOptions, 'address'> }) {
    this.#worker = options.worker;
    this.#access = options.access;
  }

  /** A channel to the active worker, or null when the call should be answered here. */
  channel(metadata: Metadata): Channel | null {
    const { active, holder, name } = this.#worker;
    const address = holder?.address ?? null;
    if (active || address === null || metadata.get(FORWARDED).length > 0) return null;
    if (this.#channel?.address !== address) {
      this.#channel?.close();
      this.#channel = new Channel({ ...this.#access, address }, { [FORWARDED]: name });
    }
    return this.#channel;
  }

  /** Throws WORKER_UNAVAILABLE when another worker is active: this one knows nothing then. */
  checkKnown(): void {
    const { active, holder } = this.#worker;
    if (active || holder === null) return;
    const where =
      holder.address === null ? 'which tells nobody its address; ask it, or let it --advertise one' : 'ask again';
    throw new MillraceError('WORKER_UNAVAILABLE', `only the active worker knows, ${holder.name}: ${where}`);
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
