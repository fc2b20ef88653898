/**
 * A typed client of the control interface: what the CLI and other programs use. Answers are plain values, errors are
 * MillraceErrors with the worker's own code; WORKER_UNAVAILABLE when nobody answers.
 */
import { Client, credentials, type Metadata, type ServiceError } from '@grpc/grpc-js';
import type { DeleteAnswer, DeployAnswer, PlanAnswer } from '../worker/commands.ts';
import type { Bundle } from '../worker/host.ts';
import { fromStatus } from './errors.ts';
import {
  type DeleteWire,
  type DeployWire,
  type DescribeWire,
  deployFromWire,
  infoFromWire,
  type PipelineInfo,
  type PipelineWire,
  type PlanWire,
  pipelineFromWire,
  planFromWire,
  type ServerInfo,
  type ServerInfoWire,
} from './messages.ts';
import { adminMethod, MESSAGE_BYTES_MAX, type MethodName } from './schema.ts';

export type { PipelineInfo, ServerInfo } from './messages.ts';

export interface ClientOptions {
  /** How long an answer is waited for, ms. Default 60,000. */
  readonly timeoutMs?: number;
  /** Sent with every call. */
  readonly metadata?: Metadata;
}

export class AdminClient {
  /** `host:port` of the worker that is asked. */
  readonly address: string;
  readonly #client: Client;
  readonly #options: ClientOptions;

  constructor(address: string, options: ClientOptions = {}) {
    this.address = address;
    this.#options = options;
    this.#client = new Client(address, credentials.createInsecure(), {
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
      // A worker that restarts is back in a second or two; the library's own pauses grow to minutes.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
    });
  }

  close(): void {
    this.#client.close();
  }

  async info(): Promise<ServerInfo> {
    return infoFromWire(await this.call<object, ServerInfoWire>('GetServerInfo', {}));
  }

  /** Throws PLAN_INVALID. */
  async plan(bundle: Bundle): Promise<PlanAnswer> {
    return planFromWire(await this.call<object, PlanWire>('PlanPipeline', { bundle }));
  }

  /** The same bundle again is `unchanged`. Throws PLAN_INVALID, PLAN_INCOMPATIBLE, CONFLICT. */
  async deploy(bundle: Bundle, options: { dryRun?: boolean } = {}): Promise<DeployAnswer> {
    return deployFromWire(
      await this.call<object, DeployWire>('DeployPipeline', { bundle, dryRun: options.dryRun ?? false }),
    );
  }

  /** Sorted by name; statuses without their tasks. */
  async list(): Promise<PipelineInfo[]> {
    const { pipelines } = await this.call<object, { pipelines: PipelineWire[] }>('ListPipelines', {});
    return pipelines.map(pipelineFromWire);
  }

  /** Throws NOT_FOUND. */
  async get(name: string): Promise<PipelineInfo> {
    const { pipeline } = await this.call<object, { pipeline: PipelineWire }>('GetPipeline', { name });
    return pipelineFromWire(pipeline);
  }

  /** Throws NOT_FOUND. */
  async describe(name: string): Promise<{ pipeline: PipelineInfo; text: string; summary: unknown }> {
    const answer = await this.call<object, DescribeWire & { pipeline: PipelineWire }>('DescribePipeline', { name });
    const { pipeline, text, summaryJson } = answer;
    return { pipeline: pipelineFromWire(pipeline), text, summary: JSON.parse(summaryJson) as unknown };
  }

  /** The same bundle starts again. Returns the new revision. Throws NOT_FOUND. */
  async restart(name: string): Promise<number> {
    return (await this.call<object, { revision: number }>('RestartPipeline', { name })).revision;
  }

  /** Throws NOT_FOUND. */
  delete(name: string, options: { purge?: boolean } = {}): Promise<DeleteAnswer> {
    return this.call<object, DeleteWire>('DeletePipeline', { name, purge: options.purge ?? false });
  }

  /** Status snapshots until the caller leaves the loop or the pipeline is deleted. Throws NOT_FOUND. */
  async *watch(name: string, options: { intervalMs?: number } = {}): AsyncGenerator<PipelineInfo, void, void> {
    const stream = this.stream<object, { pipeline: PipelineWire }>('WatchPipeline', {
      name,
      intervalMs: options.intervalMs ?? 0,
    });
    try {
      for await (const { pipeline } of stream as AsyncIterable<{ pipeline: PipelineWire }>) {
        yield pipelineFromWire(pipeline);
      }
    } catch (error) {
      throw fromStatus(error as ServiceError, this.address);
    } finally {
      stream.cancel();
    }
  }

  /** A method by name, messages as they are on the wire: for those who pass calls on. */
  call<Request, Response>(name: MethodName, request: Request): Promise<Response> {
    const method = adminMethod<Request, Response>(name);
    const { timeoutMs = 60_000, metadata } = this.#options;
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, response?: Response) => {
        if (error !== null) reject(fromStatus(error, this.address));
        else resolve(response as Response);
      };
      const { path, requestSerialize, responseDeserialize } = method;
      const deadline = { deadline: Date.now() + timeoutMs };
      if (metadata === undefined) {
        this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, deadline, done);
      } else {
        this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, deadline, done);
      }
    });
  }

  stream<Request, Response>(name: MethodName, request: Request) {
    const { path, requestSerialize, responseDeserialize } = adminMethod<Request, Response>(name);
    const { metadata } = this.#options;
    return metadata === undefined
      ? this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request)
      : this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadata);
  }
}
