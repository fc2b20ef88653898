/**
 * The connection to NATS: dials, reconnects for ever, and says when it came and went. Owns the client and its shared
 * reply inbox; what is asked over it belongs to the adapters (`log.ts` and its neighbours).
 */
import { readFileSync } from 'node:fs';
import {
  type Authenticator,
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  Events,
  type NatsConnection,
  nkeyAuthenticator,
  type TlsOptions,
} from 'nats';
import { isMillraceError, MillraceError, messageOf } from '../base/errors.ts';
import { checkVersion, explainFailure } from './diagnose.ts';
import { Inbox, permissionText, type Strange } from './inbox.ts';
import { Wire } from './wire.ts';

export interface NatsOptions {
  readonly servers: string | readonly string[];
  /** Shown by the server's monitoring. */
  readonly name?: string;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** Path of a `.creds` file. */
  readonly credentialsFile?: string;
  /** Seed of an nkey (`SU…`). */
  readonly nkeySeed?: string;
  /** Paths of PEM files. */
  readonly tls?: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string };
  /** Default `_INBOX`. */
  readonly inboxPrefix?: string;
  /** How long an append may stay unanswered until it counts as in doubt. Default 5,000. */
  readonly answerMs?: number;
  /** Keep dialling when the first attempt fails, instead of throwing. */
  readonly waitForServer?: boolean;
}

/**
 * - `refused`      the server denied a permission; the message names the subject
 * - `misanswered`  somebody answers in the broker's place
 * - `starved`      a consumer of ours delivers nothing of what its stream has; another takes its place
 */
export type LinkStatus =
  | { readonly kind: 'connected'; readonly server: string }
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'refused'; readonly message: string }
  | ({ readonly kind: 'misanswered' } & Strange)
  | { readonly kind: 'starved'; readonly stream: string; readonly message: string }
  | { readonly kind: 'closed'; readonly cause: unknown };

const RECONNECT_WAIT_MS = 250;
const PING_MS = 10_000;
const CONNECT_MS = 5_000;
const ANSWER_MS = 5_000;
/** Codes of the client for a login that is not accepted. */
const AUTHENTICATION = /^(?:BAD_AUTHENTICATION|AUTHORIZATION_VIOLATION|AUTHENTICATION_|ACCOUNT_EXPIRED)/;
const CREDENTIALS = 'the credentials file (NATS_CREDS)';

/**
 * Throws BROKER_UNAVAILABLE when no server can be reached; BROKER_REFUSED when it does not let us in, or is too old;
 * INVALID_ARGUMENT when a file or seed of the login cannot be used.
 */
export async function connectNats(options: NatsOptions): Promise<NatsLink> {
  const dial = clientOptions(options);
  let client: NatsConnection;
  try {
    client = await connect(dial);
  } catch (error) {
    throw await explainFailure(options, error);
  }
  try {
    checkVersion(client.info?.version ?? '', client.getServer());
    return new NatsLink(client, options);
  } catch (error) {
    await client.close();
    throw error;
  }
}

export class NatsLink {
  /** For adapters in this folder; nobody else may see the client. */
  readonly client: NatsConnection;
  readonly wire: Wire;
  readonly inbox: Inbox;
  /** What streams take in one message, headers included, as they have last said. */
  readonly streamBytesMax = new Map<string, number>();
  /** The JetStream domain that streams are in, as they have last said; null: in none. */
  readonly streamDomain = new Map<string, string | null>();
  #connected = true;
  /** Why the login was refused last, since the connection was lost. */
  #refusal: string | null = null;
  #payloadBytesMax: number;
  readonly #listeners = new Set<(status: LinkStatus) => void>();

  constructor(client: NatsConnection, options: Pick<NatsOptions, 'answerMs' | 'inboxPrefix'> = {}) {
    this.client = client;
    this.#payloadBytesMax = client.info?.max_payload ?? 1024 * 1024;
    this.wire = new Wire(client);
    this.inbox = new Inbox(this.wire, {
      answerMs: options.answerMs ?? ANSWER_MS,
      prefix: options.inboxPrefix ?? '_INBOX',
      onStrange: strange => this.#tell({ kind: 'misanswered', ...strange }),
    });
    void this.#follow();
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Version of the server that it is connected to, or was last. */
  get serverVersion(): string {
    return this.client.info?.version ?? '';
  }

  /** What the server takes in one message, headers included. */
  get payloadBytesMax(): number {
    return this.#payloadBytesMax;
  }

  /** Returns a function that ends it. */
  onStatus(listener: (status: LinkStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A reader has found what its consumer does not deliver. */
  starved(stream: string, seq: number): void {
    const message = `a consumer of ours delivers nothing of stream ${stream} from sequence ${seq} on: it was paused or edited; another takes its place`;
    this.#tell({ kind: 'starved', stream, message });
  }

  async close(): Promise<void> {
    this.inbox.stop();
    await this.client.close();
  }

  async #follow(): Promise<void> {
    void this.client.closed().then(cause => {
      this.#connected = false;
      this.inbox.stop();
      this.#tell({ kind: 'closed', cause });
    });
    for await (const status of this.client.status()) {
      if (status.type === Events.Disconnect) {
        // Also after each dial that fails: that is no news.
        if (!this.#connected) continue;
        this.#connected = false;
        this.inbox.disconnected();
        this.#tell({ kind: 'disconnected' });
      } else if (status.type === Events.Reconnect) {
        this.#connected = true;
        this.#refusal = null;
        this.inbox.connected();
        this.#payloadBytesMax = this.client.info?.max_payload ?? this.#payloadBytesMax;
        this.#tell({ kind: 'connected', server: String(status.data) });
      } else if (status.type === Events.Error && status.permissionContext !== undefined) {
        const { operation, subject } = status.permissionContext;
        if (operation === 'publish') this.inbox.refused(subject);
        this.#tell({ kind: 'refused', message: permissionText(operation, subject) });
      } else if (status.type === Events.Error && AUTHENTICATION.test(String(status.data))) {
        this.#refuse(String(status.data));
      }
    }
  }

  /** Our login is not accepted any more. Told once for each reason: it is tried again at every dial. */
  #refuse(reason: string): void {
    if (reason === this.#refusal) return;
    this.#refusal = reason;
    const message = `the server refuses our login (${reason}); it is tried again until it is accepted: renew it, or grant it`;
    this.#tell({ kind: 'refused', message });
  }

  #tell(status: LinkStatus): void {
    for (const listener of [...this.#listeners]) listener(status);
  }
}

function clientOptions(options: NatsOptions): ConnectionOptions {
  const dial: ConnectionOptions = {
    servers: [options.servers].flat(),
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: RECONNECT_WAIT_MS,
    pingInterval: PING_MS,
    timeout: CONNECT_MS,
    waitOnFirstConnect: options.waitForServer ?? false,
    // An account server may be a moment behind: an authentication error ends nothing while we have been in before.
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
  };
  if (options.name !== undefined) dial.name = options.name;
  if (options.inboxPrefix !== undefined) dial.inboxPrefix = options.inboxPrefix;
  if (options.user !== undefined) dial.user = options.user;
  if (options.password !== undefined) dial.pass = options.password;
  if (options.token !== undefined) dial.token = options.token;
  const authenticator = authenticatorOf(options);
  if (authenticator !== null) dial.authenticator = authenticator;
  if (options.tls !== undefined) {
    for (const path of Object.values(options.tls)) read(path, 'the PEM file (NATS_CA, NATS_CERT, NATS_KEY)');
    dial.tls = { ...options.tls } satisfies TlsOptions;
  }
  return dial;
}

/** Tried once here, so that what cannot be used is told before anybody dials. */
function authenticatorOf({ credentialsFile, nkeySeed }: NatsOptions): Authenticator | null {
  if (credentialsFile === undefined && nkeySeed === undefined) return null;
  let good = credentialsFile === undefined ? Buffer.from(nkeySeed ?? '') : read(credentialsFile, CREDENTIALS);
  const make = (bytes: Uint8Array) =>
    credentialsFile === undefined ? nkeyAuthenticator(bytes) : credsAuthenticator(bytes);
  try {
    make(good)('nonce');
  } catch (cause) {
    const what = credentialsFile === undefined ? 'the nkey seed (NATS_NKEY)' : `${CREDENTIALS} ${credentialsFile}`;
    throw new MillraceError('INVALID_ARGUMENT', `${what} cannot be used: ${messageOf(cause)}`, { cause });
  }
  // Read again for every connection: whoever renews credentials puts a new file in the place of the old one.
  return nonce => {
    try {
      if (credentialsFile !== undefined) good = read(credentialsFile, CREDENTIALS);
    } catch (error) {
      // Half-way through being replaced: what was good before may be still.
      if (!isMillraceError(error, 'INVALID_ARGUMENT')) throw error;
    }
    return make(good)(nonce);
  };
}

function read(path: string, what: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new MillraceError('INVALID_ARGUMENT', `${what} ${path} cannot be read: ${messageOf(cause)}`, { cause });
  }
}
