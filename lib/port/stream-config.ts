/**
 * How a stream is kept, as far as it matters to who reads it or writes to it. The names are JetStream's own, so that a
 * person finds them again in `nats stream info`. What a setting means to a pipeline: `topology/stream-settings.ts`.
 */
/** How long a reader's consumer is to be kept while its worker is cut off. */
export const READER_INACTIVE_MS = 30_000;

export interface SubjectMapping {
  /** Empty: all subjects. */
  readonly src: string;
  readonly dest: string;
}

/** A stream of which another has copies. */
export interface CopiedStream {
  readonly name: string;
  /** Where it is not of this account: how the JetStream that has it is asked, `$JS.<domain>.API`. */
  readonly external?: string;
  /** Subjects that are copied; absent: all. */
  readonly filter?: string;
  /** What becomes of their subjects, and then only these are copied; empty: they keep their own. */
  readonly renamed: readonly SubjectMapping[];
}

export interface StreamConfig {
  /** `interest`, `workqueue`: a message goes when it was consumed. */
  readonly retention: 'limits' | 'interest' | 'workqueue';
  /** What a full stream does: forget its oldest, or refuse. */
  readonly discard: 'old' | 'new';
  /** With `discard: new`: a subject that is full refuses, too. */
  readonly discardNewPerSubject: boolean;
  readonly storage: 'file' | 'memory';
  readonly replicas: number;
  /** Whether its server is one of a cluster. */
  readonly isClustered: boolean;
  /** Null, here and below: no limit. */
  readonly maxAgeMs: number | null;
  readonly maxBytes: number | null;
  readonly maxMsgs: number | null;
  readonly maxMsgsPerSubject: number | null;
  /** Headers included. */
  readonly maxMsgBytes: number | null;
  readonly maxConsumers: number | null;
  readonly duplicateWindowMs: number | null;
  /** How long a consumer may ask to be kept while nobody asks it for anything. */
  readonly inactiveThresholdMsMax: number | null;
  readonly noAck: boolean;
  readonly sealed: boolean;
  readonly denyDelete: boolean;
  readonly denyPurge: boolean;
  readonly allowRollup: boolean;
  readonly allowAtomic: boolean;
  readonly allowMsgTtl: boolean;
  readonly allowMsgCounter: boolean;
  readonly allowMsgSchedules: boolean;
  /** Where a subject's last message expires the server leaves a message of its own. */
  readonly leavesMarkers: boolean;
  /** Messages are acknowledged before they are written. */
  readonly persistAsync: boolean;
  /** The stream that it is a copy of. */
  readonly mirror: CopiedStream | null;
  /** Streams that it takes messages from. */
  readonly sources: readonly CopiedStream[];
  /** Messages are kept under other subjects than they are sent to. */
  readonly subjectTransform: SubjectMapping | null;
  /** Messages are published once more, under another subject, when they are stored. */
  readonly republish: SubjectMapping | null;
}

/** Streams that it copies from; what comes from there keeps the subjects that it had, if no mapping changes them. */
export function copiedBy({ mirror, sources }: StreamConfig): readonly string[] {
  return [...(mirror === null ? [] : [mirror]), ...sources].map(({ name }) => name);
}

/** As a stream is that nobody has set anything of. */
export const PLAIN_CONFIG: StreamConfig = {
  retention: 'limits',
  discard: 'old',
  discardNewPerSubject: false,
  storage: 'file',
  replicas: 1,
  isClustered: false,
  maxAgeMs: null,
  maxBytes: null,
  maxMsgs: null,
  maxMsgsPerSubject: null,
  maxMsgBytes: null,
  maxConsumers: null,
  duplicateWindowMs: null,
  inactiveThresholdMsMax: null,
  noAck: false,
  sealed: false,
  denyDelete: false,
  denyPurge: false,
  allowRollup: false,
  allowAtomic: false,
  allowMsgTtl: false,
  allowMsgCounter: false,
  allowMsgSchedules: false,
  leavesMarkers: false,
  persistAsync: false,
  mirror: null,
  sources: [],
  subjectTransform: null,
  republish: null,
};
