/** Streams as JetStream speaks of them, and as we do: settings on the way out, facts on the way in. */
import type { CopiedStream, StoredMessage, StreamInfo, StreamSettings, StreamTrait } from '../port/log.ts';
import { decodeHeaders } from './headers.ts';

/** As STREAM.INFO answers, as far as we look. */
export interface WireStreamInfo {
  readonly config: {
    readonly name: string;
    readonly subjects?: readonly string[];
    readonly allow_atomic?: boolean;
    readonly mirror?: WireCopied;
    readonly sources?: readonly WireCopied[];
    readonly sealed?: boolean;
    readonly no_ack?: boolean;
    readonly subject_transform?: object;
    readonly retention?: string;
    readonly max_msgs_per_subject?: number;
  };
  readonly created: string;
  /** The answering server's clock, which is the one that it stamps messages with. */
  readonly ts?: string;
  readonly state: {
    readonly first_seq: number;
    readonly last_seq: number;
    readonly messages: number;
    readonly bytes: number;
  };
}

interface WireCopied {
  readonly name: string;
  readonly subject_transforms?: readonly { readonly src?: string; readonly dest?: string }[];
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

export function streamInfoOf({ config, created, state }: WireStreamInfo): StreamInfo {
  const copied = copiedOf(config);
  const { max_msgs_per_subject: perSubject = 0 } = config;
  return {
    name: config.name,
    ...(copied.length === 0 ? {} : { copied }),
    ...(perSubject > 0 ? { maxMessagesPerSubject: perSubject } : {}),
    subjects: config.subjects ?? [],
    atomic: config.allow_atomic === true,
    traits: traitsOf(config),
    created,
    firstSeq: Math.max(1, state.first_seq),
    lastSeq: state.last_seq,
    messages: state.messages,
    bytes: state.bytes,
  };
}

function copiedOf({ mirror, sources = [] }: WireStreamInfo['config']): CopiedStream[] {
  return [...(mirror === undefined ? [] : [mirror]), ...(sources ?? [])].map(({ name, subject_transforms }) => ({
    name,
    isMirror: mirror !== undefined,
    renamed: (subject_transforms ?? []).map(({ src = '', dest = '' }) => ({ from: src, to: dest })),
  }));
}

function traitsOf(config: WireStreamInfo['config']): StreamTrait[] {
  const traits: StreamTrait[] = [];
  if (config.mirror !== undefined) traits.push('mirror');
  if (config.sealed === true) traits.push('sealed');
  if (config.no_ack === true) traits.push('unacked');
  if (config.subject_transform !== undefined) traits.push('transform');
  if (config.retention !== undefined && config.retention !== 'limits') traits.push('consumed');
  return traits;
}

export function storedMessageOf({ message }: WireMessage): StoredMessage {
  return {
    subject: message.subject,
    seq: message.seq,
    timeMs: Date.parse(message.time),
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
  };
}
