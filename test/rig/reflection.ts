/**
 * A gRPC client that knows nothing of a server but its address: what services there are and what their messages look like
 * it learns by reflection, as grpcurl and other tools do.
 */

import { fileURLToPath } from 'node:url';
import { type ChannelCredentials, Client, credentials, type Metadata, type ServiceError } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer, loadSync, type PackageDefinition } from '@grpc/proto-loader';

const PROTO = fileURLToPath(
  new URL('../../node_modules/@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto', import.meta.url),
);
const OPTIONS = { longs: Number, enums: String, defaults: true };

interface Answer {
  listServicesResponse?: { service: { name: string }[] } | null;
  fileDescriptorResponse?: { fileDescriptorProto: Buffer[] } | null;
  errorResponse?: { errorCode: number; errorMessage: string } | null;
}

type Wire = { serialize: (value: object) => Buffer; deserialize: (bytes: Buffer) => object };

export class ReflectionClient {
  readonly client: Client;
  readonly #version: 'v1' | 'v1alpha';

  constructor(address: string, options: { version?: 'v1' | 'v1alpha'; credentials?: ChannelCredentials } = {}) {
    this.client = new Client(address, options.credentials ?? credentials.createInsecure());
    this.#version = options.version ?? 'v1';
  }

  close(): void {
    this.client.close();
  }

  /** Full names. */
  async services(metadata?: Metadata): Promise<string[]> {
    const answer = await this.#ask({ listServices: '' }, metadata);
    return (answer.listServicesResponse?.service ?? []).map(({ name }) => name);
  }

  async describe(service: string): Promise<PackageDefinition> {
    const answer = await this.#ask({ fileContainingSymbol: service });
    const files = answer.fileDescriptorResponse?.fileDescriptorProto;
    if (files === undefined) throw new Error(answer.errorResponse?.errorMessage ?? 'no answer');
    // A FileDescriptorSet is the files, each as field 1.
    const set = Buffer.concat(files.flatMap(file => [Buffer.from([0x0a]), varint(file.length), file]));
    return loadFileDescriptorSetFromBuffer(set, OPTIONS);
  }

  /** All answers of a call, one for unary methods. */
  async call(service: string, method: string, request: object, metadata?: Metadata): Promise<object[]> {
    const schema = (await this.describe(service))[service] as unknown as Record<
      string,
      {
        path: string;
        responseStream: boolean;
        requestSerialize: Wire['serialize'];
        responseDeserialize: Wire['deserialize'];
      }
    >;
    const found = schema[method];
    if (found === undefined) throw new Error(`${service} has no ${method}`);
    return this.#read(found, request, metadata);
  }

  async #ask(request: object, metadata?: Metadata): Promise<Answer> {
    const pack = loadSync(PROTO, { ...OPTIONS, oneofs: true });
    const { ServerReflectionInfo } = pack['grpc.reflection.v1.ServerReflection'] as never as {
      ServerReflectionInfo: { requestSerialize: Wire['serialize']; responseDeserialize: Wire['deserialize'] };
    };
    const { requestSerialize, responseDeserialize } = ServerReflectionInfo;
    const path = `/grpc.reflection.${this.#version}.ServerReflection/ServerReflectionInfo`;
    const [answer] = await this.#read({ path, requestSerialize, responseDeserialize }, request, metadata);
    return answer as Answer;
  }

  async #read(
    method: { path: string; requestSerialize: Wire['serialize']; responseDeserialize: Wire['deserialize'] },
    request: object,
    metadata?: Metadata,
  ): Promise<object[]> {
    const { path, requestSerialize, responseDeserialize } = method;
    const stream =
      metadata === undefined
        ? this.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request)
        : this.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadata);
    const answers: object[] = [];
    return new Promise((resolve, reject) => {
      stream.on('data', (answer: object) => answers.push(answer));
      stream.on('error', (error: ServiceError) => reject(error));
      stream.on('end', () => resolve(answers));
    });
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left >>>= 7) {
    if (left < 0x80) return Buffer.from([...bytes, left]);
    bytes.push((left & 0x7f) | 0x80);
  }
}
