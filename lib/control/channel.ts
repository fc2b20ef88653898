/**
 * A connection to a worker's API: methods by name, messages as they are on the wire, errors as MillraceErrors. The client
 * is made on it, and workers pass calls on to each other over it.
 */
import { type ChannelCredentials, Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { MillraceError, messageOf } from '../base/errors.ts';
import { fromStatus } from './errors.ts';
import { readPem } from './pem.ts';
import { MESSAGE_BYTES_MAX, methodSchema } from './schema.ts';
import type { MethodName, Request, Response } from './wire.ts';

/** Paths of PEM files. An empty object: TLS with the certificate authorities that Node knows. */
export interface ClientTls {
  /** The authorities that the worker's certificate may be from. */
  readonly caFile?: string;
  /** This client's own certificate and key, for workers that ask for one. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** The name that the worker's certificate must have, where it is not the host of the address. */
  readonly serverName?: string;
}

export interface ClientOptions {
  /** `host:port` of the API of any worker. */
  readonly address: string;
  /** Absent: without TLS. */
  readonly tls?: ClientTls;
  /** The bearer token that the workers ask for. */
  readonly token?: string;
  /** How long an answer is waited for, ms. Default 60,000. Streams have no limit. */
  readonly timeoutMs?: number;
}

/** Ends a call before its time. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Ms since 1970; default: now and the channel's timeout. */
  readonly deadline?: number;
  /** Sent with this call, beside those of the channel. */
  readonly headers?: Readonly<Record<string, string>>;
}

const TIMEOUT_MS = 60_000;

export class Channel {
  readonly address: string;
  readonly #tls: boolean;
  readonly #client: Client;
  readonly #timeoutMs: number;
  readonly #metadata = new Metadata();

  /**
   * @param headers sent with every call.
   * @throws MillraceError INVALID_ARGUMENT: a file of `tls` cannot be read, or is not PEM.
   */
  constructor(options: ClientOptions, headers: Readonly<Record<string, string>> = {}) {
    const { address, tls, token, timeoutMs = TIMEOUT_MS } = options;
    this.address = address;
    this.#tls = tls !== undefined;
    this.#timeoutMs = timeoutMs;
    if (token !== undefined) this.#metadata.set('authorization', `Bearer ${token}`);
    for (const [name, value] of Object.entries(headers)) this.#metadata.set(name, value);
    const serverName = tls?.serverName;
    this.#client = new Client(address, tls === undefined ? credentials.createInsecure() : secured(tls), {
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
      // A worker that restarts is back in a second or two; the library's own pauses grow to minutes.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
      // A worker whose machine is gone says nothing: streams would wait for ever.
      'grpc.keepalive_time_ms': 20_000,
      'grpc.keepalive_timeout_ms': 10_000,
      'grpc.enable_http_proxy': 0,
      ...(serverName === undefined
        ? {}
        : { 'grpc.ssl_target_name_override': serverName, 'grpc.default_authority': serverName }),
    });
  }

  close(): void {
    this.#client.close();
  }

  #metadataOf({ headers }: CallOptions): Metadata {
    if (headers === undefined) return this.#metadata;
    const metadata = this.#metadata.clone();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    return metadata;
  }

  #failure(error: ServiceError): MillraceError {
    return fromStatus(error, { address: this.address, tls: this.#tls });
  }

  call<M extends MethodName>(name: M, request: Request<M>, options: CallOptions = {}): Promise<Response<M>> {
    const { path, requestSerialize, responseDeserialize } = methodSchema(name);
    const { signal, deadline = Date.now() + this.#timeoutMs } = options;
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        this.#metadataOf(options),
        { deadline },
        (error: ServiceError | null, response?: Response<M>) => {
          signal?.removeEventListener('abort', cancel);
          if (error !== null) reject(this.#failure(error));
          else resolve(response as Response<M>);
        },
      );
      const cancel = () => call.cancel();
      if (signal?.aborted) cancel();
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }

  /** Ends the call when the reader leaves the loop. */
  async *stream<M extends MethodName>(
    name: M,
    request: Request<M>,
    options: CallOptions = {},
  ): AsyncGenerator<Response<M>, void, void> {
    const { path, requestSerialize, responseDeserialize } = methodSchema(name);
    const { signal, deadline } = options;
    const stream = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      this.#metadataOf(options),
      deadline === undefined ? {} : { deadline },
    );
    const cancel = () => stream.cancel();
    // A reader that leaves early destroys the stream; its last error has nobody to hear it then.
    stream.on('error', () => {});
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      yield* stream as AsyncIterable<Response<M>>;
    } catch (error) {
      throw this.#failure(error as ServiceError);
    } finally {
      signal?.removeEventListener('abort', cancel);
      cancel();
    }
  }
}

function secured({ caFile, certFile, keyFile }: ClientTls): ChannelCredentials {
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new MillraceError('INVALID_ARGUMENT', 'a client certificate needs its key, and a key its certificate');
  }
  const [ca, cert, key] = [caFile, certFile, keyFile].map(file => (file === undefined ? null : readPem(file)));
  try {
    return credentials.createSsl(ca, key, cert);
  } catch (cause) {
    const files = [caFile, certFile, keyFile].filter(file => file !== undefined).join(', ');
    const text = `${files} cannot be used for TLS: ${messageOf(cause)}; give PEM files, the key without a passphrase`;
    throw new MillraceError('INVALID_ARGUMENT', text, { cause });
  }
}
