/**
 * The client of Millrace's control interface: what other programs import as `millrace/client`.
 *
 * ```ts
 * import { AdminClient, bundlePipeline } from 'millrace/client';
 *
 * const client = new AdminClient({ address: '127.0.0.1:4280' });
 * const { name, outcome } = await client.deploy(await bundlePipeline('src/orders.ts'));
 * for await (const { status } of client.watch(name)) {
 *   if (status.state === 'running') break;
 * }
 * client.close();
 * ```
 */
export { type ErrorCode, isMillraceError, MillraceError } from './base/errors.ts';
export type { Bundle } from './bundle/bundle.ts';
export { bundlePipeline } from './bundle/bundle.ts';
export {
  AdminClient,
  type ClientOptions,
  type ClientTls,
  type EventInfo,
  type LetterQuery,
  type PipelineInfo,
  type ScanQuery,
  type ServerInfo,
} from './control/client.ts';
export type { EntryView, Page, TableView } from './engine/views.ts';
export type { Level } from './observe/events.ts';
export type { PipelineCounts, PipelineState, PipelineStatus, SourceStatus, TaskStatus } from './observe/status.ts';
export type { DecodedKey, Key } from './record/key.ts';
export type { AuditEntry } from './service/audit.ts';
export type { DeleteAnswer, DeployAnswer } from './service/commands.ts';
export type { DeployOutcome, PlanAnswer } from './service/plan.ts';
export type {
  DiscardProgress,
  LetterKind,
  LetterView,
  ReplayProgress,
  TaskView,
  WorkerView,
} from './service/views.ts';
