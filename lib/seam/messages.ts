/**
 * The messages between host and engine, all of them plain data: the two are in threads of their own, so that whoever watches
 * (API, lease, presence) is never held up by what is watched (the author's functions).
 *
 * A *run* is one start of a pipeline, numbered by the host; whatever is said about a run that is over is passed over.
 * Nothing is kept for an engine that is gone: the host looks at what is wanted, and orders it again.
 */

import type { ScanOptions } from '../engine/views.ts';
import type { Event } from '../observe/events.ts';
import type { PipelineStatus } from '../observe/status.ts';
import type { Counted } from '../observe/tally.ts';
import type { Site } from '../operator/call-watch.ts';
import type { StreamInfo } from '../port/log.ts';
import type { Key } from '../record/key.ts';
import type { Assignment } from '../topology/parts.ts';
import type { PlanSummary } from '../topology/summary.ts';
import type { ErrorData } from './errors.ts';

export interface StartOrder {
  readonly kind: 'start';
  readonly run: number;
  readonly pipeline: string;
  /** See `Deployment`. */
  readonly life: string;
  /** For logs and journals; grows with every change of what is desired. */
  readonly revision: number;
  /** Hash of the bundle, which lies in the blobs. */
  readonly bundle: string;
  /** The user's file that it was made from. */
  readonly file: string;
  /** The revision since which that bundle has run. */
  readonly program: number;
  /** By owned sink: `SinkSpec.sinceSeq`. */
  readonly since: Readonly<Record<string, number>>;
  readonly assignment: Assignment;
}

/** What is asked of a run's state: see `StateReader`. */
export type Question =
  | { readonly what: 'tables' }
  | { readonly what: 'get'; readonly operator: string; readonly key: Key }
  | ({ readonly what: 'scan' } & ScanOptions);

export type ToEngine =
  | StartOrder
  | { readonly kind: 'assign'; readonly run: number; readonly assignment: Assignment }
  | { readonly kind: 'stop'; readonly run: number; readonly deadlineMs: number }
  | { readonly kind: 'ask'; readonly number: number; readonly run: number; readonly question: Question }
  /** End: nothing runs any more. */
  | { readonly kind: 'close' };

/** To what was asked, or ordered with a number. */
export type Answer = { readonly value: unknown } | { readonly error: ErrorData };

export type ToHost =
  /** It is connected and takes orders. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'started'; readonly run: number; readonly status: PipelineStatus }
  | { readonly kind: 'status'; readonly run: number; readonly status: PipelineStatus }
  | { readonly kind: 'stopped'; readonly run: number }
  /** It stopped by itself, or could not start. */
  | { readonly kind: 'failed'; readonly run: number; readonly error: ErrorData }
  | { readonly kind: 'counted'; readonly pipeline: string; readonly counted: Counted }
  | { readonly kind: 'event'; readonly event: Event }
  /** The number of a place where user code is called, told before the first call there. */
  | { readonly kind: 'site'; readonly number: number; readonly site: Site }
  | { readonly kind: 'answer'; readonly number: number; readonly answer: Answer }
  /** It cannot go on, and its thread ends. */
  | { readonly kind: 'fault'; readonly error: ErrorData };

/** What the planner may ask of the broker; a thread that plans has no connection of its own. */
export type BrokerQuestion =
  | { readonly what: 'streamsOf'; readonly subject: string }
  | { readonly what: 'info'; readonly stream: string };

/** To the thread that plans a bundle: the answer to the one question that it waits for. */
export type ToPlanning = Answer;

export type FromPlanning =
  /** From now on the author's code runs. */
  | { readonly kind: 'begun' }
  | { readonly kind: 'ask'; readonly question: BrokerQuestion }
  | { readonly kind: 'planned'; readonly summary: PlanSummary; readonly text: string }
  | { readonly kind: 'failed'; readonly error: ErrorData };

/** What the broker answers. */
export type BrokerAnswer = readonly string[] | StreamInfo | null;

/** An end of a channel between threads. Messages arrive in the order in which they were posted. */
export interface Port<Posted> {
  postMessage(message: Posted): void;
}
