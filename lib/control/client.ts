/**
 * A typed client of the control interface: what the CLI and other programs use. Answers are plain values, lists that grow
 * are pages, what goes on is an async generator that ends the call when the loop is left. Errors are MillraceErrors with
 * the worker's own code; WORKER_UNAVAILABLE when nobody answers, UNAUTHENTICATED without a token or certificate that the
 * workers know, PERMISSION_DENIED without the role that it takes.
 */
import type { Bundle } from '../bundle/bundle.ts';
import type { EntryView, Page, ScanOptions, TableView } from '../engine/views.ts';
import type { Level } from '../observe/events.ts';
import type { DecodedKey } from '../record/key.ts';
import type { AuditEntry } from '../service/audit.ts';
import type { DeleteAnswer, DeployAnswer } from '../service/commands.ts';
import type { PlanAnswer } from '../service/plan.ts';
import type {
  DiscardProgress,
  LetterFilter,
  LetterPage,
  LetterView,
  MoveView,
  ReplayProgress,
  TaskView,
  WorkerView,
} from '../service/views.ts';
import { Channel, type ClientOptions } from './channel.ts';
import {
  auditFromWire,
  type EventInfo,
  entryFromWire,
  eventFromWire,
  filterToWire,
  infoFromWire,
  keyToJson,
  letterFromWire,
  levelToWire,
  moveFromWire,
  outcomeFromWire,
  type PipelineInfo,
  pipelineFromWire,
  planFromWire,
  type ServerInfo,
  taskFromWire,
  workerFromWire,
} from './messages.ts';

export type { ClientOptions, ClientTls } from './channel.ts';
export type { EventInfo, PipelineInfo, ServerInfo } from './messages.ts';

/** Which letters: all that meet every condition given. */
export type LetterQuery = Partial<LetterFilter> & Pick<LetterFilter, 'pipeline'>;
/** Where to look for entries; what is left out means all. */
export type ScanQuery = Partial<ScanOptions> & Pick<ScanOptions, 'operator'>;

/** An API, as a client sees it. Close it when it is no longer needed: it keeps a connection. */
export class AdminClient {
  readonly #channel: Channel;

  /** Connects with the first call. Throws INVALID_ARGUMENT: a file of `tls` cannot be used. */
  constructor(options: ClientOptions) {
    this.#channel = new Channel(options);
  }

  /** `host:port` of the worker that is asked. */
  get address(): string {
    return this.#channel.address;
  }

  close(): void {
    this.#channel.close();
  }

  /** Who answers, and what it is connected to. */
  async info(): Promise<ServerInfo> {
    return infoFromWire(await this.#channel.call('GetServerInfo', {}));
  }

  /** What a bundle would become, and whether a deploy would be accepted. Throws PLAN_INVALID. */
  async plan(bundle: Bundle): Promise<PlanAnswer> {
    return planFromWire(await this.#channel.call('PlanPipeline', { bundle }));
  }

  /**
   * The same bundle again is `unchanged`. `takeOver`: output subjects that another pipeline has left become this one's.
   * Throws PLAN_INVALID, PLAN_INCOMPATIBLE, SUBJECT_OWNED, CONFLICT.
   */
  async deploy(bundle: Bundle, options: { dryRun?: boolean; takeOver?: boolean } = {}): Promise<DeployAnswer> {
    const { dryRun = false, takeOver = false } = options;
    const { outcome, ...answer } = await this.#channel.call('DeployPipeline', { bundle, dryRun, takeOver });
    return { ...answer, outcome: outcomeFromWire(outcome) as DeployAnswer['outcome'] };
  }

  /** All pipelines, sorted by name; statuses without their tasks. */
  async list(): Promise<PipelineInfo[]> {
    return (await this.#channel.call('ListPipelines', {})).pipelines.map(pipelineFromWire);
  }

  /** Throws NOT_FOUND. */
  async get(name: string): Promise<PipelineInfo> {
    return pipelineFromWire(present((await this.#channel.call('GetPipeline', { name })).pipeline));
  }

  /** Throws NOT_FOUND. */
  async describe(name: string): Promise<{ pipeline: PipelineInfo; text: string; summary: unknown }> {
    const { pipeline, text, summaryJson } = await this.#channel.call('DescribePipeline', { name });
    return { pipeline: pipelineFromWire(present(pipeline)), text, summary: JSON.parse(summaryJson) as unknown };
  }

  /** Status snapshots, until the caller leaves the loop or the pipeline is deleted. Throws NOT_FOUND. */
  async *watch(name: string, options: { intervalMs?: number } = {}): AsyncGenerator<PipelineInfo, void, void> {
    const { intervalMs = 0 } = options;
    for await (const { pipeline } of this.#channel.stream('WatchPipeline', { name, intervalMs })) {
      yield pipelineFromWire(present(pipeline));
    }
  }

  /** Stops it until it is resumed. Returns the revision. Throws NOT_FOUND. */
  async pause(name: string): Promise<number> {
    return (await this.#channel.call('PausePipeline', { name })).revision;
  }

  /** Goes on where it was paused. Returns the revision. Throws NOT_FOUND. */
  async resume(name: string): Promise<number> {
    return (await this.#channel.call('ResumePipeline', { name })).revision;
  }

  /** The same bundle starts again. Returns the new revision. Throws NOT_FOUND. */
  async restart(name: string): Promise<number> {
    return (await this.#channel.call('RestartPipeline', { name })).revision;
  }

  /**
   * Says that a source is complete up to an event time (ISO), or that it has come to its `end`. Returns where the heartbeat
   * is that says so. Throws NOT_FOUND: no such pipeline, or it has no such source.
   */
  advance(
    name: string,
    { source, to }: { source: string; to: string },
  ): Promise<{ stream: string; subject: string; sequence: number }> {
    return this.#channel.call('AdvanceSource', { name, source, to });
  }

  /** State is kept for a later deploy unless it is purged; results and input always. Throws NOT_FOUND. */
  delete(name: string, options: { purge?: boolean; dryRun?: boolean } = {}): Promise<DeleteAnswer> {
    const { purge = false, dryRun = false } = options;
    return this.#channel.call('DeletePipeline', { name, purge, dryRun });
  }

  /** Sorted by name. */
  async workers(): Promise<WorkerView[]> {
    return (await this.#channel.call('ListWorkers', {})).workers.map(workerFromWire);
  }

  /** One worker, by default the one that answers. Throws NOT_FOUND. */
  async worker(name = ''): Promise<WorkerView> {
    return workerFromWire(present((await this.#channel.call('GetWorker', { name })).worker));
  }

  /** All workers, now and then at an interval. */
  async *watchWorkers(options: { intervalMs?: number } = {}): AsyncGenerator<WorkerView[], void, void> {
    const { intervalMs = 0 } = options;
    for await (const { workers } of this.#channel.stream('WatchWorkers', { intervalMs })) {
      yield workers.map(workerFromWire);
    }
  }

  /**
   * Takes a worker out of service: what it has goes to others, which `worker(name)` shows; when its `pipelines` are 0, it has
   * nothing. Returns whether that changed anything. Throws NOT_FOUND.
   */
  async drain(name: string): Promise<boolean> {
    return (await this.#channel.call('DrainWorker', { name })).changed;
  }

  /** Puts it back into service. Returns whether that changed anything. Throws NOT_FOUND. */
  async uncordon(name: string): Promise<boolean> {
    return (await this.#channel.call('UncordonWorker', { name })).changed;
  }

  /** What would move between workers as things are, and why. */
  async moves(): Promise<MoveView[]> {
    return (await this.#channel.call('PreviewRebalance', {})).moves.map(moveFromWire);
  }

  /** The tasks that run, of one pipeline or of all. Throws NOT_FOUND. */
  async tasks(options: { pipeline?: string } = {}): Promise<TaskView[]> {
    const { pipeline = '' } = options;
    return (await this.#channel.call('ListTasks', { pipeline })).tasks.map(taskFromWire);
  }

  /** Throws NOT_FOUND. */
  async task(which: { pipeline: string; stage: string; partition: number }): Promise<TaskView> {
    return taskFromWire(present((await this.#channel.call('GetTask', which)).task));
  }

  /** The tasks that run, now and then at an interval. Throws NOT_FOUND. */
  async *watchTasks(options: { pipeline?: string; intervalMs?: number } = {}): AsyncGenerator<TaskView[], void, void> {
    const { pipeline = '', intervalMs = 0 } = options;
    for await (const { tasks } of this.#channel.stream('WatchTasks', { pipeline, intervalMs })) {
      yield tasks.map(taskFromWire);
    }
  }

  /** The tables of a running pipeline's operators. Throws NOT_FOUND. */
  async tables(pipeline: string): Promise<TableView[]> {
    return (await this.#channel.call('ListTables', { pipeline })).tables;
  }

  /** All that an operator remembers of a key. Throws NOT_FOUND, RECORD_KEY. */
  async entries(which: { pipeline: string; operator: string; key: DecodedKey }): Promise<EntryView[]> {
    const { key, ...rest } = which;
    const { entries } = await this.#channel.call('GetEntries', { ...rest, keyJson: keyToJson(key) });
    return entries.map(entryFromWire);
  }

  /** A page of an operator's entries. Throws NOT_FOUND, INVALID_ARGUMENT. */
  async scan(pipeline: string, query: ScanQuery): Promise<Page<EntryView>> {
    const { operator, table, partition, pageSize, pageToken } = query;
    const { entries, nextPageToken } = await this.#channel.call('ScanEntries', {
      pipeline,
      operator,
      table: table ?? '',
      ...(partition === undefined || partition === null ? {} : { partition }),
      pageSize: pageSize ?? 0,
      pageToken: pageToken ?? '',
    });
    return { items: entries.map(entryFromWire), nextPageToken: nextPageToken || null };
  }

  /** A page of letters, oldest first; `total` counts all that are kept, whatever the query. Throws NOT_FOUND. */
  async letters(
    query: LetterQuery,
    page: { pageSize?: number; pageToken?: string | null; content?: boolean } = {},
  ): Promise<LetterPage> {
    const { content = false } = page;
    const { letters, nextPageToken, total, forged } = await this.#channel.call('ListLetters', {
      filter: filterToWire(filterOf(query)),
      pageSize: page.pageSize ?? 0,
      pageToken: page.pageToken ?? '',
      content,
    });
    const items = letters.map(letter => letterFromWire(letter, { content, headers: false }));
    return { items, nextPageToken: nextPageToken || null, total, forged };
  }

  /** A letter with its content and headers. Throws NOT_FOUND. */
  async letter(pipeline: string, number: number): Promise<LetterView> {
    const { letter } = await this.#channel.call('GetLetter', { pipeline, number });
    return letterFromWire(present(letter), { content: true, headers: true });
  }

  /**
   * Publishes the contents of letters again and deletes the letters; says how far it is, last the final numbers. Whoever
   * leaves the loop breaks it off.
   */
  async *replayLetters(
    query: LetterQuery,
    options: { toSubject?: string; dryRun?: boolean; keep?: boolean } = {},
  ): AsyncGenerator<ReplayProgress, void, void> {
    const { toSubject = '', dryRun = false, keep = false } = options;
    yield* this.#channel.stream('ReplayLetters', { filter: filterToWire(filterOf(query)), toSubject, dryRun, keep });
  }

  /** Deletes letters; says how far it is, last the final numbers. Whoever leaves the loop breaks it off. */
  async *discardLetters(
    query: LetterQuery,
    options: { dryRun?: boolean } = {},
  ): AsyncGenerator<DiscardProgress, void, void> {
    const { dryRun = false } = options;
    yield* this.#channel.stream('DiscardLetters', { filter: filterToWire(filterOf(query)), dryRun });
  }

  /** The last `past` events of all workers (default none) and then, unless `pastOnly`, each as it happens. */
  async *events(
    options: { pipeline?: string; level?: Level; past?: number; pastOnly?: boolean } = {},
  ): AsyncGenerator<EventInfo, void, void> {
    const { pipeline = '', level = 'info', past = 0, pastOnly = false } = options;
    const request = { pipeline, level: levelToWire(level), past, pastOnly };
    for await (const { event } of this.#channel.stream('WatchEvents', request)) yield eventFromWire(present(event));
  }

  /** A page of who has changed what and who was refused, oldest first. */
  async audit(
    query: { pipeline?: string; sinceMs?: number; pageSize?: number; pageToken?: string | null } = {},
  ): Promise<Page<AuditEntry>> {
    const { pipeline = '', sinceMs = 0, pageSize = 0, pageToken } = query;
    const request = { pipeline, sinceMs, pageSize, pageToken: pageToken ?? '' };
    const { entries, nextPageToken } = await this.#channel.call('ListAudit', request);
    return { items: entries.map(auditFromWire), nextPageToken: nextPageToken || null };
  }
}

function filterOf({ pipeline, ...query }: LetterQuery): LetterFilter {
  return { pipeline, kind: null, operator: null, code: null, numbers: [], sinceMs: null, ...query };
}

/** A message that every answer has. */
function present<T>(message: T | null): T {
  return message as T;
}
