/**
 * Millrace for pipeline authors: everything that a pipeline file needs, and nothing else.
 *
 *   import { count, pipeline, tumbling } from 'millrace';
 *
 *   export default pipeline('hires', ({ from }) => {
 *     from<Hired>('hr.employee.hired', { time: 'at' })
 *       .keyBy('site')
 *       .window(tumbling('1h'))
 *       .aggregate({ hires: count() })
 *       .to('analytics.hires.{site}');
 *   });
 */

export type { Duration } from './base/duration.ts';
export { type ErrorCode, MillraceError } from './base/errors.ts';
export type { ChangeWord } from './change/change.ts';
export {
  avg,
  collect,
  count,
  countDistinct,
  first,
  last,
  max,
  min,
  quantile,
  sum,
  topN,
} from './operator/aggregates.ts';
export { aggregate, reduce } from './operator/own-aggregates.ts';
export type { AggregateSpec, ProcessContext } from './operator/spec.ts';
export type { SinkMode } from './outlet/nats/destination.ts';
export { type CloudEvent, cloudEvents } from './record/cloudevents.ts';
export { type Versions, versions } from './record/evolve.ts';
export { bytes, type Decoder, text } from './record/format.ts';
export { auto, type FormatName } from './record/formats.ts';
export { json, ndjson } from './record/json.ts';
export type { Key } from './record/key.ts';
export { msgpack } from './record/msgpack.ts';
export { type ProtobufOptions, protobuf } from './record/protobuf.ts';
export type { MessageMeta } from './source/spec.ts';
export { type Beginnings, isPipeline, Pipeline, type PipelineOptions, pipeline } from './topology/builder.ts';
export type { FromOptions, TableOptions } from './topology/sources.ts';
export { KeyedStream, Stream, Table, WindowedStream } from './topology/stream.ts';
export type {
  DedupeOptions,
  JoinOptions,
  KeyedContext,
  Named,
  ProcessOptions,
  SinkOptions,
  WindowOptions,
  Within,
} from './topology/types.ts';
export { hopping, session, tumbling, type WindowShape } from './topology/windows.ts';
