/**
 * THE table of settings: each with its place in a file, its flag, its variable, its type, its default and its meaning.
 * Help texts, the reading of flags, variables and files, and the table in the README are all made from it or compared with
 * it. How a setting gets its value is in `config.ts`.
 */

import type { Setting, SettingValue } from './setting.ts';

export type { Kind, Setting, SettingValue } from './setting.ts';

const nats = { file: 'worker', flag: null, kind: 'text', default: null } as const;
const path = { file: 'worker', kind: 'path', default: null } as const;
const client = { file: 'context', kind: 'path', default: null } as const;
const clientText = { ...client, kind: 'text' } as const;
const unfiled = { file: null, kind: 'path', default: null } as const;
const secret = { ...nats, secret: true } as const;

export const SETTINGS = {
  workerConfig: {
    ...unfiled,
    key: '(worker file)',
    flag: '--config <file>',
    variable: 'MILLRACE_WORKER_CONFIG',
    means: "a worker's settings as YAML",
  },
  nats: {
    file: 'worker',
    key: 'nats.servers',
    flag: '--nats <urls>',
    variable: 'MILLRACE_NATS',
    kind: 'list',
    default: ['nats://127.0.0.1:4222'],
    means: 'NATS servers, separated by commas',
    secret: 'login',
  },
  natsUser: { ...nats, key: 'nats.user', variable: 'NATS_USER', means: 'user name for NATS' },
  natsPassword: { ...secret, key: 'nats.password', variable: 'NATS_PASSWORD', means: 'password for NATS' },
  natsToken: { ...secret, key: 'nats.token', variable: 'NATS_TOKEN', means: 'token for NATS' },
  natsNkey: { ...secret, key: 'nats.nkey', variable: 'NATS_NKEY', means: 'seed of an nkey for NATS' },
  natsCreds: {
    ...path,
    key: 'nats.creds',
    flag: '--nats-creds <file>',
    variable: 'NATS_CREDS',
    means: 'credentials file for NATS',
  },
  natsCa: {
    ...path,
    key: 'nats.tls.ca',
    flag: '--nats-ca <file>',
    variable: 'NATS_CA',
    means: 'certificates that NATS is trusted by, PEM',
  },
  natsCert: {
    ...path,
    key: 'nats.tls.cert',
    flag: '--nats-cert <file>',
    variable: 'NATS_CERT',
    means: 'certificate shown to NATS, PEM',
  },
  natsKey: {
    ...path,
    key: 'nats.tls.key',
    flag: '--nats-key <file>',
    variable: 'NATS_KEY',
    means: "that certificate's key, PEM",
  },
  natsInboxPrefix: {
    ...nats,
    key: 'nats.inboxPrefix',
    flag: '--nats-inbox-prefix <prefix>',
    variable: 'NATS_INBOX_PREFIX',
    default: '_INBOX',
    means: 'what subjects for answers begin with, for a user who may not hear those of others',
  },
  bucket: {
    ...nats,
    key: 'nats.bucket',
    flag: '--bucket <name>',
    variable: 'MILLRACE_BUCKET',
    default: 'millrace',
    means: 'the bucket of this cluster of workers; another in the same account takes another',
  },
  data: {
    file: 'worker',
    key: 'data',
    flag: '--data <folder>',
    variable: 'MILLRACE_DATA',
    kind: 'path',
    default: '.millrace/worker',
    means: 'data folder, one for each worker',
  },
  listen: {
    file: 'worker',
    key: 'listen',
    flag: '--listen <host:port>',
    variable: 'MILLRACE_LISTEN',
    kind: 'address',
    default: '127.0.0.1:4280',
    means: 'where the API listens; port 0 takes a free one',
  },
  advertise: {
    ...nats,
    key: 'advertise',
    flag: '--advertise <host:port>',
    variable: 'MILLRACE_ADVERTISE',
    kind: 'address',
    means: 'where other workers reach the API, if not where it listens',
  },
  serverCert: {
    ...path,
    key: 'tls.cert',
    flag: '--tls-cert <file>',
    variable: 'MILLRACE_TLS_CERT',
    means: 'certificate of the API, PEM; turns TLS on',
  },
  serverKey: {
    ...path,
    key: 'tls.key',
    flag: '--tls-key <file>',
    variable: 'MILLRACE_TLS_KEY',
    means: "that certificate's key, PEM",
  },
  serverClientCa: {
    ...path,
    key: 'tls.clientCa',
    flag: '--tls-client-ca <file>',
    variable: 'MILLRACE_TLS_CLIENT_CA',
    means: 'clients need a certificate by one of these, PEM',
  },
  serverCa: {
    ...path,
    key: 'tls.ca',
    flag: '--tls-ca <file>',
    variable: 'MILLRACE_TLS_CA',
    means: "trusts the other workers' certificates, if not by tls.clientCa",
  },
  serverToken: { ...secret, key: 'token', variable: 'MILLRACE_TOKEN', means: 'whoever sends it to the API may all' },
  serverTokenFile: {
    ...path,
    key: 'tokenFile',
    flag: '--token-file <file>',
    variable: 'MILLRACE_TOKEN_FILE',
    means: 'a file that holds that token',
  },
  access: {
    ...path,
    key: 'access',
    flag: '--access <file>',
    variable: 'MILLRACE_ACCESS',
    means: 'who may call the API, and what: identities with roles, as YAML',
  },
  insecure: {
    file: 'worker',
    key: 'insecure',
    flag: '--insecure',
    variable: 'MILLRACE_INSECURE',
    kind: 'switch',
    default: false,
    means: 'listen where others reach it, though they are not asked who they are, or without TLS',
  },
  deployKeys: {
    ...path,
    key: 'deployKeys',
    flag: '--deploy-keys <file>',
    variable: 'MILLRACE_DEPLOY_KEYS',
    means: 'keys that what should run is signed with; nothing else is loaded then',
  },
  metrics: {
    file: 'worker',
    key: 'metrics',
    flag: '--metrics <host:port>',
    variable: 'MILLRACE_METRICS',
    kind: 'off-address',
    default: '127.0.0.1:4281',
    means: 'where metrics and probes are served, or off',
  },
  otlp: {
    ...nats,
    key: 'otlp',
    flag: '--otlp <url>',
    variable: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    secret: 'login',
    means: 'collector that spans of traced records are sent to, by OTLP over HTTP',
  },
  replicas: {
    file: 'worker',
    key: 'replicas',
    flag: '--replicas <count>',
    variable: 'MILLRACE_REPLICAS',
    kind: 'count',
    default: 1,
    means: 'replicas of the streams that Millrace makes',
  },
  threads: {
    file: 'worker',
    key: 'threads',
    flag: '--threads <count>',
    variable: 'MILLRACE_THREADS',
    kind: 'count-auto',
    default: 1,
    means: 'threads that share the pipelines; auto: as many as there are cores',
  },
  zone: {
    ...nats,
    key: 'zone',
    flag: '--zone <name>',
    variable: 'MILLRACE_ZONE',
    kind: 'label',
    means: 'where it is, e.g. a rack: copies of state are kept in different zones, where there are any',
  },
  capacity: {
    file: 'worker',
    key: 'capacity',
    flag: '--capacity <number>',
    variable: 'MILLRACE_CAPACITY',
    kind: 'amount',
    default: 1,
    means: 'its share beside the other workers: 2 is twice as much; 0: nothing, it stands by and answers',
  },
  standbys: {
    file: 'worker',
    key: 'standbys',
    flag: '--standbys <count>',
    variable: 'MILLRACE_STANDBYS',
    kind: 'count-none',
    default: 0,
    means: 'how many workers keep a copy of the state of each task; that of the worker which leads counts',
  },
  logLevel: {
    file: 'worker',
    key: 'log.level',
    flag: '--log <level>',
    variable: 'MILLRACE_LOG',
    kind: ['debug', 'info', 'warn', 'error'],
    default: 'info',
    means: 'the least that is logged',
  },
  logFormat: {
    file: 'worker',
    key: 'log.format',
    flag: '--log-format <format>',
    variable: 'MILLRACE_LOG_FORMAT',
    kind: ['auto', 'json', 'text'],
    default: 'auto',
    means: 'how it is logged; auto: text at a terminal, else json',
  },
  env: {
    file: 'worker',
    key: 'env',
    flag: '--env <names>',
    variable: 'MILLRACE_ENV',
    kind: 'list',
    default: null,
    means: "variables that pipelines' code may read, separated by commas",
  },
  stopSeconds: {
    file: 'worker',
    key: 'stopSeconds',
    flag: '--stop-seconds <seconds>',
    variable: 'MILLRACE_STOP_SECONDS',
    kind: 'seconds',
    default: 10,
    means: 'how long a clean stop may take',
  },
  stuckSeconds: {
    file: 'worker',
    key: 'stuckSeconds',
    flag: '--stuck-seconds <seconds>',
    variable: 'MILLRACE_STUCK_SECONDS',
    kind: 'seconds',
    default: 5,
    means: 'how long a function of a pipeline may take for one record; then the record becomes a dead letter',
  },
  natsServer: {
    ...unfiled,
    key: '(nats-server)',
    flag: null,
    variable: 'NATS_SERVER',
    means: 'path of a nats-server for `dev`; else it is looked for, or fetched',
  },
  clientConfig: {
    ...unfiled,
    key: '(client file)',
    flag: null,
    variable: 'MILLRACE_CONFIG',
    means: 'the file with contexts, if not `~/.config/millrace/config.yaml`',
  },
  context: {
    file: null,
    key: '(context)',
    flag: '--context <name>',
    variable: 'MILLRACE_CONTEXT',
    kind: 'text',
    default: null,
    means: 'context to take these from, if not the current one',
  },
  server: {
    file: 'context',
    key: 'server',
    flag: '--server <host:port>',
    variable: 'MILLRACE_SERVER',
    kind: 'address',
    default: '127.0.0.1:4280',
    means: "address of any worker's API",
  },
  tls: {
    file: 'context',
    key: 'tls.enabled',
    flag: '--tls',
    variable: 'MILLRACE_CLIENT_TLS',
    kind: 'switch',
    default: false,
    means: 'use TLS; any other TLS setting implies it',
  },
  tlsCa: {
    ...client,
    key: 'tls.ca',
    flag: '--tls-ca <file>',
    variable: 'MILLRACE_CLIENT_CA',
    means: "certificates that the worker is trusted by, PEM; else the system's",
  },
  tlsCert: {
    ...client,
    key: 'tls.cert',
    flag: '--tls-cert <file>',
    variable: 'MILLRACE_CLIENT_CERT',
    means: 'certificate shown to the worker, PEM',
  },
  tlsKey: {
    ...client,
    key: 'tls.key',
    flag: '--tls-key <file>',
    variable: 'MILLRACE_CLIENT_KEY',
    means: "that certificate's key, PEM",
  },
  tlsServerName: {
    ...clientText,
    key: 'tls.serverName',
    flag: '--tls-server-name <name>',
    variable: 'MILLRACE_CLIENT_SERVER_NAME',
    means: "the name in the worker's certificate, if not its host",
  },
  token: {
    ...clientText,
    key: 'token',
    flag: null,
    variable: 'MILLRACE_TOKEN',
    means: 'token that the worker asks for',
    secret: true,
  },
  tokenFile: {
    ...client,
    key: 'tokenFile',
    flag: '--token-file <file>',
    variable: 'MILLRACE_TOKEN_FILE',
    means: 'a file that holds that token',
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof SETTINGS;

export type Settings<N extends SettingName> = {
  readonly [K in N]: SettingValue<(typeof SETTINGS)[K]>;
};

/** What it takes to reach NATS. */
export const NATS_SETTINGS = [
  ...(['nats', 'natsUser', 'natsPassword', 'natsToken', 'natsNkey'] as const),
  ...(['natsCreds', 'natsCa', 'natsCert', 'natsKey', 'natsInboxPrefix'] as const),
] as const;

/** What a worker is run with. */
export const WORKER_SETTINGS = [
  ...NATS_SETTINGS,
  ...(['data', 'bucket', 'env', 'listen', 'advertise', 'metrics', 'otlp', 'replicas', 'threads'] as const),
  ...(['logLevel', 'logFormat', 'stopSeconds', 'stuckSeconds', 'zone', 'capacity', 'standbys'] as const),
  ...(['serverCert', 'serverKey', 'serverClientCa', 'serverCa', 'serverToken', 'serverTokenFile'] as const),
  ...(['access', 'insecure', 'deployKeys'] as const),
] as const;

/** What it takes to reach a worker's API. */
export const CLIENT_SETTINGS = [
  ...(['server', 'tls', 'tlsCa', 'tlsCert', 'tlsKey', 'tlsServerName', 'token', 'tokenFile'] as const),
] as const;
