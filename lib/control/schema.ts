/**
 * The control interface's schema at run time, read from `proto/`: paths, encoders and decoders of its methods, and how
 * large messages may be.
 */
import { logVerbosity, type MethodDefinition, type ServiceDefinition, setLogVerbosity } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { invariant, MillraceError } from '../base/errors.ts';
import { packageFile } from '../base/package.ts';
import type { MethodName, Request, Response } from './wire.ts';

const FILES = ['pipeline', 'worker', 'state', 'letter', 'server'];
const PACKAGE = 'millrace.admin.v1';
export const SERVICES = ['PipelineService', 'WorkerService', 'StateService', 'LetterService', 'ServerService'] as const;
export type ServiceName = (typeof SERVICES)[number];

/** The largest message of all: a bundle to plan or to deploy. */
export const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
/** Requests of all other methods. */
export const REQUEST_BYTES_MAX = 4 * 1024 * 1024;

// The library prints what it also returns; errors are told once, by whoever handles them.
setLogVerbosity(logVerbosity.NONE);

let schema: PackageDefinition | null = null;

export function packageSchema(): PackageDefinition {
  schema ??= loadSync(
    FILES.map(name => `millrace/admin/v1/${name}.proto`),
    { includeDirs: [packageFile('proto')], longs: Number, enums: String, defaults: true },
  );
  return schema;
}

/** A service's name as on the wire, e.g. `millrace.admin.v1.StateService`. */
export function fullName(name: ServiceName): string {
  return `${PACKAGE}.${name}`;
}

export function serviceSchema(name: ServiceName): ServiceDefinition {
  const service = packageSchema()[fullName(name)];
  invariant(service !== undefined, `proto declares no ${fullName(name)}`);
  return service as ServiceDefinition;
}

export function methodSchema<M extends MethodName>(name: M): MethodDefinition<Request<M>, Response<M>> {
  for (const service of SERVICES) {
    const method = serviceSchema(service)[name];
    if (method !== undefined) return method as MethodDefinition<Request<M>, Response<M>>;
  }
  throw new MillraceError('INVARIANT', `proto declares no method ${name}`);
}
