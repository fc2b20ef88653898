/**
 * Reflection (`grpc.reflection`, v1 and v1alpha), so that tools such as grpcurl need no files to call the API.
 *
 * The descriptors are made here, with the names of fields as the proto has them and the names of map entries that the
 * language prescribes: what the loader of `schema.ts` leaves has neither, and tools in Go refuse it. The service of the
 * library answers as fast as it is asked, whether its answers are read or not; here it waits for its reader.
 *
 * Both are made at the first call: workers would start later by a fifth for what few of them are ever asked.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Server, ServerDuplexStream, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { PackageDefinition } from '@grpc/proto-loader';
import type Reflection from '@grpc/reflection';
import type protobufjs from 'protobufjs';
import type Descriptor from 'protobufjs/ext/descriptor.js';
import { invariant } from '../base/errors.ts';
import { ERROR_DETAILS } from './details.ts';
import { PROTO_FILES, PROTO_FOLDER } from './schema.ts';

interface Message {
  name: string;
  field: { name: string; typeName?: string }[];
  nestedType: (Message & { options?: { mapEntry?: boolean } })[];
}

const METHOD = 'ServerReflectionInfo';
const SERVICES = ['grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'];

type Method = ServiceDefinition[string];

/** A version of the service, as the library has it. */
interface Service {
  readonly method: Method;
  readonly handle: Handle;
}

export function addReflection(server: Server): void {
  let services: Map<string, Service> | null = null;
  for (const name of SERVICES) {
    const path = `/${name}/${METHOD}`;
    const service = (): Service => {
      services ??= libraryServices();
      const found = services.get(path);
      invariant(found !== undefined, `the library has no ${path}`);
      return found;
    };
    const method: Method = {
      path,
      requestStream: true,
      responseStream: true,
      requestSerialize: value => service().method.requestSerialize(value),
      requestDeserialize: bytes => service().method.requestDeserialize(bytes),
      responseSerialize: value => service().method.responseSerialize(value),
      responseDeserialize: bytes => service().method.responseDeserialize(bytes),
    };
    const handle: Handle = stream => service().handle(waiting(stream));
    server.addService({ [METHOD]: method }, { [METHOD]: handle } as UntypedServiceImplementation);
  }
}

/** What the library would add to a server, by the paths of its methods. */
function libraryServices(): Map<string, Service> {
  const { ReflectionService } = createRequire(import.meta.url)('@grpc/reflection') as typeof Reflection;
  const descriptors = { schema: { fileDescriptorProtos: fileDescriptors() } } as unknown as PackageDefinition;
  const services = new Map<string, Service>();
  new ReflectionService(descriptors).addToServer({
    addService(definition: ServiceDefinition, handlers: UntypedServiceImplementation) {
      const method = definition[METHOD];
      if (method !== undefined) services.set(method.path, { method, handle: handlers[METHOD] as Handle });
    },
  });
  return services;
}

/** A FileDescriptorProto for each package. */
export function fileDescriptors(): Buffer[] {
  const require = createRequire(import.meta.url);
  const { Root } = require('protobufjs') as typeof protobufjs;
  const { FileDescriptorProto } = require('protobufjs/ext/descriptor') as typeof Descriptor;
  const root = new Root();
  root.resolvePath = (_, target) => (PROTO_FILES.includes(target) ? target : join(PROTO_FOLDER, target));
  root.loadSync([...PROTO_FILES], { keepCase: true });
  // Tools look up the details of errors, too.
  root.addJSON({ google: { nested: { rpc: { nested: ERROR_DETAILS } } } });
  root.resolveAll();
  const set = (root as unknown as { toDescriptor(edition: string): { file: unknown[] } }).toDescriptor('proto3');
  return set.file.map(file => {
    const { package: scope, messageType } = file as { package: string; messageType: Message[] };
    for (const message of messageType) nameMapEntries(message, `.${scope}`);
    return Buffer.from(FileDescriptorProto.encode(file as protobufjs.Message).finish());
  });
}

/** The entry of a map field `some_counts` is the nested message `SomeCountsEntry`. */
function nameMapEntries(message: Message, scope: string): void {
  const within = `${scope}.${message.name}`;
  for (const nested of message.nestedType) {
    if (nested.options?.mapEntry !== true) {
      nameMapEntries(nested, within);
      continue;
    }
    const field = message.field.find(({ typeName }) => typeName === nested.name);
    if (field === undefined) continue;
    const words = field.name.split('_').map(word => word.charAt(0).toUpperCase() + word.slice(1));
    nested.name = `${words.join('')}Entry`;
    field.typeName = `${within}.${nested.name}`;
  }
}

type Handle = (stream: ServerDuplexStream<object, object>) => void;

/** The same stream, which reads no further while its answers are not read. */
function waiting(stream: ServerDuplexStream<object, object>): ServerDuplexStream<object, object> {
  const write = stream.write.bind(stream) as (answer: object) => boolean;
  stream.write = (answer: object) => {
    const goOn = write(answer);
    if (!goOn) {
      stream.pause();
      stream.once('drain', () => stream.resume());
    }
    return goOn;
  };
  return stream;
}
