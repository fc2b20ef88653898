/**
 * The control interface's schema at run time, read from `proto/`: paths, encoders and decoders of its methods.
 */
import { logVerbosity, type MethodDefinition, type ServiceDefinition, setLogVerbosity } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { invariant } from '../base/errors.ts';
import { packageFile } from '../base/package.ts';

const FILE = packageFile('proto/millrace/admin/v1/admin.proto');
const SERVICE = 'millrace.admin.v1.AdminService';

export type MethodName =
  | 'GetServerInfo'
  | 'PlanPipeline'
  | 'DeployPipeline'
  | 'ListPipelines'
  | 'GetPipeline'
  | 'DescribePipeline'
  | 'RestartPipeline'
  | 'DeletePipeline'
  | 'WatchPipeline';

/** Requests and answers up to this size; bundles are the largest. */
export const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

// The library prints what it also returns; errors are told once, by whoever handles them.
setLogVerbosity(logVerbosity.NONE);

let service: ServiceDefinition | null = null;

export function adminService(): ServiceDefinition {
  if (service === null) {
    const definition = loadSync(FILE, { longs: Number, enums: String, defaults: true });
    service = definition[SERVICE] as ServiceDefinition;
    invariant(service !== undefined, `${FILE} declares no ${SERVICE}`);
  }
  return service;
}

export function adminMethod<Request, Response>(name: MethodName): MethodDefinition<Request, Response> {
  const method = adminService()[name];
  invariant(method !== undefined, `${FILE} declares no method ${name}`);
  return method as MethodDefinition<Request, Response>;
}
