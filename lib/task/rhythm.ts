/**
 * When a task commits though no batch has changed or sent anything: what it has read, how far event time is, and what the
 * relay has sent are journaled now and then, so that a restart has little to do again, and the next stages hear of event time.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Feeding } from './feeding.ts';

/** What a batch did not journal, of event time and of what was read, a task journals so often, ms. */
const QUIET_MS = 1000;
/** … so often when event time has moved and tasks of a next stage wait to hear of it. */
const ROUTED_MS = 200;
/** … and so often when event time only follows the clock, or nothing but words without records has come. */
const IDLE_MS = 2000;

export interface Said {
  readonly watermarkMs: number;
  readonly relayedThrough: number;
  readonly positions: Readonly<Record<string, number>>;
}

/** What is to be said, and what tells how urgent it is. */
export interface ToSay {
  readonly watermarkMs: number;
  readonly relayedThrough: number;
  /** The last commit that sends anything. */
  readonly lastSending: number;
  /** Asked for no sooner than it is needed. */
  readonly feeding: Pick<Feeding, 'isIdle' | 'positions'>;
  readonly isRouted: boolean;
  readonly hasNewRecords: boolean;
}

export class Rhythm {
  #said: Said = { watermarkMs: Number.NEGATIVE_INFINITY, relayedThrough: 0, positions: {} };
  #saidAtMs = 0;

  /** A commit that says this has been handed to the journal. */
  said(said: Said, nowMs: number): void {
    this.#said = said;
    this.#saidAtMs = nowMs;
  }

  /** Nothing need be said for a while. */
  restart(nowMs: number): void {
    this.#saidAtMs = nowMs;
  }

  /** Something is to be said as soon as possible. */
  hurry(): void {
    this.#saidAtMs = Number.NEGATIVE_INFINITY;
  }

  isDue(toSay: ToSay, nowMs: number): boolean {
    const sinceMs = nowMs - this.#saidAtMs;
    if (sinceMs < ROUTED_MS) return false;
    const hasMoved = toSay.watermarkMs > this.#said.watermarkMs;
    if (sinceMs < intervalMs(toSay, hasMoved)) return false;
    const { relayedThrough, lastSending } = toSay;
    return (
      hasMoved ||
      (relayedThrough >= lastSending && this.#said.relayedThrough < lastSending) ||
      !isDeepStrictEqual(toSay.feeding.positions(), this.#said.positions)
    );
  }
}

function intervalMs({ feeding, isRouted, hasNewRecords }: ToSay, hasMoved: boolean): number {
  if (feeding.isIdle) return IDLE_MS;
  if (hasMoved && isRouted) return ROUTED_MS;
  return hasMoved || hasNewRecords ? QUIET_MS : IDLE_MS;
}
