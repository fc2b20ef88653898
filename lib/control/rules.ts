/**
 * THE table of who may call what: each method of the API with the role that it asks for, and the pipeline that it is about.
 * A method without a row is nobody's. Changes are noted in the audit, with what came of them.
 */
import type { Role } from './roles.ts';
import type { FilterWire, MethodName, Request, Response } from './wire.ts';

export interface Rule<M extends MethodName> {
  /** `open`: not even an identity; `known`: any identity. */
  readonly role: Role | 'open' | 'known';
  /**
   * Name of the pipeline that it is about. Empty: of all that the caller may see, and the answer holds no others. Absent:
   * it is about none, or (`checksLater`) what it is about is found out while it is carried out.
   */
  readonly pipeline?: (request: Request<M>) => string;
  readonly checksLater?: true;
  /** A further role, for what this request asks for. */
  readonly also?: (request: Request<M>) => Role | null;
  /** Whether it is to change anything; absent: it never does. */
  readonly changes?: (request: Request<M>) => boolean;
  /** What came of it, in a word or two; of a stream, by its last answer. Absent: `done`. */
  readonly outcome?: (response: Response<M>) => string;
}

export type Rules = { readonly [M in MethodName]: Rule<M> };

const byName = ({ name }: { name: string }) => name;
const byPipeline = ({ pipeline }: { pipeline: string }) => pipeline;
const byFilter = ({ filter }: { filter: FilterWire | null }) => filter?.pipeline ?? '';
const ofAll = () => '';
const always = () => true;
const unlessDry = ({ dryRun }: { dryRun: boolean }) => !dryRun;

export const RULES: Rules = {
  // PipelineService
  PlanPipeline: { role: 'deploy', checksLater: true },
  DeployPipeline: {
    role: 'deploy',
    checksLater: true,
    changes: unlessDry,
    outcome: ({ outcome }) => outcome.replace('DEPLOY_OUTCOME_', '').toLowerCase(),
  },
  ListPipelines: { role: 'read', pipeline: ofAll },
  GetPipeline: { role: 'read', pipeline: byName },
  DescribePipeline: { role: 'read', pipeline: byName },
  WatchPipeline: { role: 'read', pipeline: byName },
  PausePipeline: { role: 'operate', pipeline: byName, changes: always },
  ResumePipeline: { role: 'operate', pipeline: byName, changes: always },
  RestartPipeline: { role: 'operate', pipeline: byName, changes: always },
  AdvanceSource: { role: 'operate', pipeline: byName, changes: always },
  DeletePipeline: {
    role: 'deploy',
    pipeline: byName,
    changes: unlessDry,
    outcome: ({ done }) => (done ? 'done' : 'under way'),
  },
  // WorkerService
  ListWorkers: { role: 'read' },
  GetWorker: { role: 'read' },
  WatchWorkers: { role: 'read' },
  DrainWorker: { role: 'operate', changes: always, outcome: ({ changed }) => (changed ? 'done' : 'unchanged') },
  UncordonWorker: { role: 'operate', changes: always, outcome: ({ changed }) => (changed ? 'done' : 'unchanged') },
  PreviewRebalance: { role: 'read', pipeline: ofAll },
  ListTasks: { role: 'read', pipeline: byPipeline },
  GetTask: { role: 'read', pipeline: byPipeline },
  WatchTasks: { role: 'read', pipeline: byPipeline },
  // StateService
  ListTables: { role: 'data', pipeline: byPipeline },
  GetEntries: { role: 'data', pipeline: byPipeline },
  ScanEntries: { role: 'data', pipeline: byPipeline },
  // LetterService
  ListLetters: { role: 'read', pipeline: byFilter, also: ({ content }) => (content ? 'data' : null) },
  GetLetter: { role: 'data', pipeline: byPipeline },
  ReplayLetters: {
    role: 'operate',
    pipeline: byFilter,
    // To publish wherever one likes is what whoever deploys can do.
    also: ({ toSubject }) => (toSubject === '' ? null : 'deploy'),
    changes: unlessDry,
    outcome: ({ replayed, total }) => `${replayed} of ${total}`,
  },
  DiscardLetters: {
    role: 'operate',
    pipeline: byFilter,
    changes: unlessDry,
    outcome: ({ discarded, total }) => `${discarded} of ${total}`,
  },
  // ServerService
  GetServerInfo: { role: 'known' },
  WatchEvents: { role: 'read', pipeline: byPipeline },
  ListAudit: { role: 'operate', pipeline: byPipeline },
  // grpc.health.v1.Health
  Check: { role: 'open' },
  List: { role: 'open' },
  Watch: { role: 'open' },
};
