/**
 * The control interface's schema at run time, read from `proto/` and from the public schema of health checks: paths,
 * encoders and decoders of its methods, and how large messages may be.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { logVerbosity, type MethodDefinition, type ServiceDefinition, setLogVerbosity } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { invariant, MillraceError } from '../base/errors.ts';
import { packageFile } from '../base/package.ts';
import type { MethodName, Request, Response } from './wire.ts';

const FILES = ['pipeline', 'worker', 'state', 'letter', 'server'].map(name => `millrace/admin/v1/${name}.proto`);
export const PROTO_FOLDER = packageFile('proto');
/** Found, not imported: the package's code would be loaded for the name of a file. */
const healthFile = join(
  dirname(createRequire(import.meta.url).resolve('grpc-health-check/package.json')),
  'proto/health/v1/health.proto',
);
/** Where the schema is written down. */
export const PROTO_FILES: readonly string[] = [...FILES.map(file => join(PROTO_FOLDER, file)), healthFile];
/** Services by their names on the wire. */
export const SERVICES = {
  PipelineService: 'millrace.admin.v1.PipelineService',
  WorkerService: 'millrace.admin.v1.WorkerService',
  StateService: 'millrace.admin.v1.StateService',
  LetterService: 'millrace.admin.v1.LetterService',
  ServerService: 'millrace.admin.v1.ServerService',
  Health: 'grpc.health.v1.Health',
} as const;
export type ServiceName = keyof typeof SERVICES;

/** The largest message of all: a bundle to plan or to deploy. */
export const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
/** Requests of all other methods. */
export const REQUEST_BYTES_MAX = 4 * 1024 * 1024;

// The library prints what it also returns; errors are told once, by whoever handles them.
setLogVerbosity(logVerbosity.NONE);

let schema: PackageDefinition | null = null;

export function packageSchema(): PackageDefinition {
  if (schema === null) {
    const options = { longs: Number, enums: String, defaults: true };
    schema = {
      ...loadSync(FILES, { ...options, includeDirs: [PROTO_FOLDER] }),
      ...loadSync(healthFile, options),
    };
  }
  return schema;
}

export function serviceSchema(name: ServiceName): ServiceDefinition {
  const service = packageSchema()[SERVICES[name]];
  invariant(service !== undefined, `proto declares no ${SERVICES[name]}`);
  return service as ServiceDefinition;
}

export function methodSchema<M extends MethodName>(name: M): MethodDefinition<Request<M>, Response<M>> {
  for (const service of Object.keys(SERVICES) as ServiceName[]) {
    const method = serviceSchema(service)[name];
    if (method !== undefined) return method as MethodDefinition<Request<M>, Response<M>>;
  }
  throw new MillraceError('INVARIANT', `proto declares no method ${name}`);
}
