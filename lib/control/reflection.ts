/**
 * Reflection (`grpc.reflection`, v1 and v1alpha), so that tools such as grpcurl need no files to call the API.
 *
 * The descriptors are made here, with the names of fields as the proto has them and the names of map entries that the
 * language prescribes: what the loader of `schema.ts` leaves has neither, and tools in Go refuse it. The service of the
 * library answers as fast as it is asked, whether its answers are read or not; here it waits for its reader.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Server, ServerDuplexStream, UntypedHandleCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { PackageDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import type protobufjs from 'protobufjs';
import type Descriptor from 'protobufjs/ext/descriptor.js';
import { ERROR_DETAILS } from './details.ts';
import { PROTO_FILES, PROTO_FOLDER } from './schema.ts';

interface Message {
  name: string;
  field: { name: string; typeName?: string }[];
  nestedType: (Message & { options?: { mapEntry?: boolean } })[];
}

export function addReflection(server: Server): void {
  const descriptors = { schema: { fileDescriptorProtos: fileDescriptors() } } as unknown as PackageDefinition;
  new ReflectionService(descriptors).addToServer({
    addService(service, handlers) {
      const bounded = Object.entries(handlers).map(([name, handle]) => [name, waiting(handle as Handle)]);
      server.addService(service, Object.fromEntries(bounded) as UntypedServiceImplementation);
    },
  });
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

/** Reads no further while its answers are not read. */
function waiting(handle: Handle): UntypedHandleCall {
  return (stream: ServerDuplexStream<object, object>) => {
    const write = stream.write.bind(stream) as (answer: object) => boolean;
    stream.write = (answer: object) => {
      const goOn = write(answer);
      if (!goOn) {
        stream.pause();
        stream.once('drain', () => stream.resume());
      }
      return goOn;
    };
    handle(stream);
  };
}
