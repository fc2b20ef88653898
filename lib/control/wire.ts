/**
 * The messages of `proto/` as TypeScript sees them on the wire, and which method takes and gives which. Field names and
 * meanings are the proto's. Whole numbers are numbers, enums their names (a number where the name is not known), absent
 * messages null, absent optional fields missing.
 */
import type { Bundle } from '../bundle/bundle.ts';

export interface SourceWire {
  name: string;
  position: number;
  lag?: number;
  lagMs?: number;
  watermarkMs?: number;
  recordsIn: number;
  bytesIn: number;
  idle: boolean;
  quietMs?: number;
  clockMs?: number;
}

export interface OperatorStatusWire {
  stage: string;
  name: string;
  unit: string;
  held: number;
  more: boolean;
  watermarkMs?: number;
  nextMs?: number;
}

export interface CountsWire {
  in: number;
  out: number;
  late: number;
  dead: number;
  dropped: Record<string, number>;
  partial: boolean;
}

export interface TaskStatusWire {
  stage: string;
  partition: number;
  state: string;
  epoch: number;
  commits: number;
  recordsIn: number;
  recordsOut: number;
  watermarkMs?: number;
  stateBytes: number;
  stateEntries: number;
  journalBytes: number;
  journalCommits: number;
  backlogBytes: number;
  waitsFor?: string;
}

export interface StatusWire {
  state: string;
  reason?: string;
  worker: string;
  sources: SourceWire[];
  tasks: TaskStatusWire[];
  counts: CountsWire | null;
  atMs: number;
  operators: OperatorStatusWire[];
  watermarkMs?: number;
  ageMs: number;
  quarantine?: string;
  workers: string[];
}

export interface PipelineWire {
  name: string;
  revision: number;
  bundleHash: string;
  file: string;
  fingerprint: string;
  deployedAtMs: number;
  deleting: boolean;
  status: StatusWire | null;
  paused: boolean;
  deployedBy: string;
}

export interface PlanWire {
  name: string;
  text: string;
  summaryJson: string;
  fingerprint: string;
  outcome: string;
  incompatibilities: string[];
  refusals: string[];
  notices: string[];
  deployed: string;
  differences: string[];
}

export interface DeployWire {
  name: string;
  revision: number;
  outcome: string;
  paused: boolean;
  notices: string[];
}

export interface WorkerWire {
  name: string;
  address: string;
  version: string;
  active: boolean;
  startedAtMs: number;
  seenAtMs: number;
  pipelines: number;
  tasks: number;
  zone: string;
  capacity: number;
  draining: boolean;
  cordoned: boolean;
  follows: number;
  silent: boolean;
}

export interface MoveWire {
  pipeline: string;
  part: string;
  from: string;
  to: string;
  reason: string;
}

export interface FollowerWire {
  worker: string;
  behind: number;
  fresh: boolean;
}

export interface TaskWire {
  pipeline: string;
  worker: string;
  status: TaskStatusWire | null;
  followers: FollowerWire[];
}

export interface TableWire {
  operator: string;
  table: string;
  stage: string;
  entries: number;
  bytes: number;
}

export interface EntryWire {
  operator: string;
  table: string;
  partition: number;
  bucket: number;
  keyJson: string;
  valueJson: string;
}

export interface LetterWire {
  number: number;
  kind: string | number;
  operator: string;
  code: string;
  message: string;
  atMs: number;
  subject: string;
  index: number;
  sizeBytes: number;
  truncated: boolean;
  content: Uint8Array;
  headers: Record<string, string>;
}

export interface FilterWire {
  pipeline: string;
  kind: string | number;
  operator: string;
  code: string;
  numbers: number[];
  sinceMs: number;
}

export interface EventWire {
  atMs: number;
  level: string | number;
  event: string;
  pipeline: string;
  message: string;
  fieldsJson: string;
  worker: string;
}

export interface AuditWire {
  atMs: number;
  who: string;
  from: string;
  via: string;
  worker: string;
  method: string;
  pipeline: string;
  revision: number;
  bundleHash: string;
  outcome: string;
  code: string;
  times: number;
}

export interface ServerInfoWire {
  version: string;
  worker: string;
  activeWorker: string;
  activeAddress: string;
  natsUrl: string;
  startedAtMs: number;
  natsVersion: string;
  natsConnected: boolean;
  project: string;
}

export type HealthWire = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';

type None = Record<never, never>;
type Named = { name: string };

/** Every method, `[request, response]`. Names are unique over all services. */
export interface Methods {
  // PipelineService
  PlanPipeline: [{ bundle: Bundle | null }, PlanWire];
  DeployPipeline: [{ bundle: Bundle | null; dryRun: boolean; takeOver: boolean }, DeployWire];
  ListPipelines: [None, { pipelines: PipelineWire[] }];
  GetPipeline: [Named, { pipeline: PipelineWire | null }];
  DescribePipeline: [Named, { pipeline: PipelineWire | null; text: string; summaryJson: string }];
  WatchPipeline: [{ name: string; intervalMs: number }, { pipeline: PipelineWire | null }];
  PausePipeline: [Named, { revision: number }];
  ResumePipeline: [Named, { revision: number }];
  RestartPipeline: [Named, { revision: number }];
  AdvanceSource: [{ name: string; source: string; to: string }, { stream: string; subject: string; sequence: number }];
  DeletePipeline: [
    { name: string; purge: boolean; dryRun: boolean },
    { done: boolean; kept: string[]; deleted: string[] },
  ];
  // WorkerService
  ListWorkers: [None, { workers: WorkerWire[] }];
  GetWorker: [Named, { worker: WorkerWire | null }];
  WatchWorkers: [{ intervalMs: number }, { workers: WorkerWire[] }];
  DrainWorker: [Named, { changed: boolean }];
  UncordonWorker: [Named, { changed: boolean }];
  PreviewRebalance: [None, { moves: MoveWire[] }];
  ListTasks: [{ pipeline: string }, { tasks: TaskWire[] }];
  GetTask: [{ pipeline: string; stage: string; partition: number }, { task: TaskWire | null }];
  WatchTasks: [{ pipeline: string; intervalMs: number }, { tasks: TaskWire[] }];
  // StateService
  ListTables: [{ pipeline: string }, { tables: TableWire[] }];
  GetEntries: [{ pipeline: string; operator: string; keyJson: string }, { entries: EntryWire[] }];
  ScanEntries: [
    {
      pipeline: string;
      operator: string;
      table: string;
      partition?: number;
      pageSize: number;
      pageToken: string;
    },
    { entries: EntryWire[]; nextPageToken: string },
  ];
  // LetterService
  ListLetters: [
    { filter: FilterWire | null; pageSize: number; pageToken: string; content: boolean },
    { letters: LetterWire[]; nextPageToken: string; total: number; forged: number },
  ];
  GetLetter: [{ pipeline: string; number: number }, { letter: LetterWire | null }];
  ReplayLetters: [
    { filter: FilterWire | null; toSubject: string; dryRun: boolean; keep: boolean },
    { seen: number; replayed: number; skipped: number; total: number; reasons: string[] },
  ];
  DiscardLetters: [{ filter: FilterWire | null; dryRun: boolean }, { seen: number; discarded: number; total: number }];
  // ServerService
  GetServerInfo: [None, ServerInfoWire];
  WatchEvents: [
    { pipeline: string; level: string | number; past: number; pastOnly: boolean },
    { event: EventWire | null },
  ];
  ListAudit: [
    { pipeline: string; sinceMs: number; pageSize: number; pageToken: string },
    { entries: AuditWire[]; nextPageToken: string },
  ];
  // grpc.health.v1.Health
  Check: [{ service: string }, { status: HealthWire }];
  List: [None, { statuses: Record<string, { status: HealthWire }> }];
  Watch: [{ service: string }, { status: HealthWire }];
}

export type MethodName = keyof Methods;
export type Request<M extends MethodName> = Methods[M][0];
export type Response<M extends MethodName> = Methods[M][1];
