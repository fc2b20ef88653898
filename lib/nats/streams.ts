/** Streams as JetStream speaks of them, and as we do: settings on the way out, facts on the way in. */
import type { StoredMessage, StreamInfo, StreamSettings } from '../port/log.ts';
import type { CopiedStream, StreamConfig, SubjectMapping } from '../port/stream-config.ts';
import { isoTimeMs } from '../window/iso-time.ts';
import { decodeHeaders } from './headers.ts';

/** As STREAM.INFO answers, as far as we look. */
export interface WireStreamInfo {
  readonly config: {
    readonly name: string;
    readonly subjects?: readonly string[];
    readonly retention?: string;
    readonly discard?: string;
    readonly discard_new_per_subject?: boolean;
    readonly storage?: string;
    readonly num_replicas?: number;
    readonly max_age?: number;
    readonly max_bytes?: number;
    readonly max_msgs?: number;
    readonly max_msgs_per_subject?: number;
    readonly max_msg_size?: number;
    readonly max_consumers?: number;
    readonly duplicate_window?: number;
    readonly consumer_limits?: { readonly inactive_threshold?: number };
    readonly no_ack?: boolean;
    readonly sealed?: boolean;
    readonly deny_delete?: boolean;
    readonly deny_purge?: boolean;
    readonly allow_rollup_hdrs?: boolean;
    readonly allow_atomic?: boolean;
    readonly allow_msg_ttl?: boolean;
    readonly allow_msg_counter?: boolean;
    readonly allow_msg_schedules?: boolean;
    readonly subject_delete_marker_ttl?: number;
    readonly persist_mode?: string;
    readonly mirror?: WireCopied;
    readonly sources?: readonly WireCopied[] | null;
    readonly subject_transform?: Partial<SubjectMapping>;
    readonly republish?: Partial<SubjectMapping>;
  };
  readonly created: string;
  /** The answering server's clock, which is the one that it stamps messages with. */
  readonly ts?: string;
  /** The JetStream domain; absent: none. */
  readonly domain?: string;
  readonly state: {
    readonly first_seq: number;
    readonly last_seq: number;
    readonly messages: number;
    readonly bytes: number;
  };
  /** `name`: of the cluster, absent for a server that is in none. */
  readonly cluster?: { readonly name?: string; readonly replicas?: readonly { readonly current: boolean }[] };
}

interface WireCopied {
  readonly name: string;
  readonly filter_subject?: string;
  readonly external?: { readonly api?: string } | null;
  readonly subject_transforms?: readonly Partial<SubjectMapping>[];
}

/** As STREAM.MSG.GET answers; binary parts in base64. */
export interface WireMessage {
  readonly message: {
    readonly subject: string;
    readonly seq: number;
    readonly hdrs?: string;
    readonly data?: string;
    readonly time: string;
  };
}

const NANOS_PER_MS = 1_000_000;

export function streamInfoOf({ config, created, state, cluster }: WireStreamInfo): StreamInfo {
  return {
    name: config.name,
    subjects: config.subjects ?? [],
    config: configOf(config, cluster?.name !== undefined),
    created,
    firstSeq: Math.max(1, state.first_seq),
    lastSeq: state.last_seq,
    messages: state.messages,
    bytes: state.bytes,
  };
}

function configOf(config: WireStreamInfo['config'], isClustered: boolean): StreamConfig {
  const { retention } = config;
  return {
    retention: retention === 'interest' || retention === 'workqueue' ? retention : 'limits',
    discard: config.discard === 'new' ? 'new' : 'old',
    discardNewPerSubject: config.discard_new_per_subject === true,
    storage: config.storage === 'memory' ? 'memory' : 'file',
    replicas: config.num_replicas ?? 1,
    isClustered,
    maxAgeMs: limitMs(config.max_age),
    maxBytes: limit(config.max_bytes),
    maxMsgs: limit(config.max_msgs),
    maxMsgsPerSubject: limit(config.max_msgs_per_subject),
    maxMsgBytes: limit(config.max_msg_size),
    maxConsumers: limit(config.max_consumers),
    duplicateWindowMs: limitMs(config.duplicate_window),
    inactiveThresholdMsMax: limitMs(config.consumer_limits?.inactive_threshold),
    noAck: config.no_ack === true,
    sealed: config.sealed === true,
    denyDelete: config.deny_delete === true,
    denyPurge: config.deny_purge === true,
    allowRollup: config.allow_rollup_hdrs === true,
    allowAtomic: config.allow_atomic === true,
    allowMsgTtl: config.allow_msg_ttl === true,
    allowMsgCounter: config.allow_msg_counter === true,
    allowMsgSchedules: config.allow_msg_schedules === true,
    leavesMarkers: limit(config.subject_delete_marker_ttl) !== null,
    persistAsync: config.persist_mode === 'async',
    mirror: config.mirror === undefined ? null : copiedOf(config.mirror),
    sources: (config.sources ?? []).map(copiedOf),
    subjectTransform: mappingOf(config.subject_transform),
    republish: mappingOf(config.republish),
  };
}

function copiedOf({ name, filter_subject: filter, external, subject_transforms = [] }: WireCopied): CopiedStream {
  return {
    name,
    ...(external?.api === undefined ? {} : { external: external.api }),
    ...(filter === undefined || filter === '' ? {} : { filter }),
    renamed: subject_transforms.map(({ src = '', dest = '' }) => ({ src, dest })),
  };
}

function mappingOf(mapping: Partial<SubjectMapping> | undefined): SubjectMapping | null {
  return mapping === undefined ? null : { src: mapping.src ?? '', dest: mapping.dest ?? '' };
}

/** JetStream says -1, or 0, where there is no limit. */
function limit(value: number | undefined): number | null {
  return value !== undefined && value > 0 ? value : null;
}

function limitMs(nanos: number | undefined): number | null {
  return nanos !== undefined && nanos > 0 ? nanos / NANOS_PER_MS : null;
}

export function storedMessageOf({ message }: WireMessage): StoredMessage {
  return {
    subject: message.subject,
    seq: message.seq,
    timeMs: isoTimeMs(message.time),
    headers: message.hdrs === undefined ? null : decodeHeaders(Buffer.from(message.hdrs, 'base64')),
    data: Buffer.from(message.data ?? '', 'base64'),
  };
}

/** The configuration to ask for. What is not set is left to the server, except what could be unsafe by default. */
export function streamConfigOf(settings: StreamSettings): Record<string, unknown> {
  return {
    name: settings.name,
    subjects: settings.subjects,
    description: settings.description,
    retention: 'limits',
    storage: settings.storage ?? 'file',
    num_replicas: settings.replicas ?? 1,
    discard: settings.discard ?? 'old',
    deny_delete: settings.denyDelete ?? false,
    allow_direct: settings.allowDirect ?? false,
    allow_atomic: settings.atomic ?? false,
    max_bytes: settings.maxBytes,
    max_age: settings.maxAgeMs === undefined ? undefined : settings.maxAgeMs * NANOS_PER_MS,
    max_msgs_per_subject: settings.maxMessagesPerSubject,
    max_msg_size: settings.messageBytesMax,
  };
}
