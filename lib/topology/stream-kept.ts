/** Settings of streams that say what is kept, where, and for how long: one half of `stream-settings.ts`. */
import { BEGIN_ANEW } from '../base/errors.ts';
import { READER_INACTIVE_MS, type StreamConfig } from '../port/stream-config.ts';
import type { CaptureLimits } from '../source/spec.ts';
import {
  ALL,
  IF_MEANT,
  isBelow,
  LOOSELY,
  less,
  OURS,
  READ,
  refused,
  type StreamSetting,
  WRITTEN,
} from './stream-effects.ts';

/** What is kept for less does not outlive an outage that nobody was at hand for. */
const OUTAGE_MS = 24 * 3_600_000;
/** The server's own default. */
const DUPLICATE_WINDOW_MS = 120_000;
/** A message may have so many bytes where nobody has said anything. */
const PAYLOAD_BYTES = 1 << 20;
/** Where a message may have fewer, what comes with a row leaves next to nothing for the row. */
const HEADERS_BYTES = 1 << 10;

const COPY =
  `read a second stream that copies it: nats req '$JS.API.STREAM.CREATE.NAME_copy' '{"name":"NAME_copy",` +
  `"subjects":["copy.NAME.>"],"sources":[{"name":"NAME","subject_transforms":[{"src":">","dest":"copy.NAME.>"}]}]}', ` +
  `and from('copy.NAME.SUBJECT'); what others take from NAME before the copy has it is not in it`;
const GONE_WHEN_READ =
  'it drops a message as soon as all who are known to it have had it, and at once where nobody is: what comes while no worker reads is lost';
const FOR_ONE = 'each message of it is for one reader, who takes it away; Millrace reads and leaves';
const UNLIMITED = 'nats stream edit NAME --retention limits';
const LONGER = 'let it keep longer: nats stream edit NAME --max-age 7d';
const MORE = 'let it keep more: nats stream edit NAME --max-bytes=-1 --max-msgs=-1';
const ON_DISK = 'make it anew on disk, if that counts';
const SYNCHRONOUS = 'make it anew without, if that counts';
const ANY_NUMBER = 'nats stream edit NAME --max-msgs-per-subject=-1';
const LATEST = `nothing, if the latest is all that counts; else ${ANY_NUMBER}`;

const isBounded = ({ maxBytes, maxMsgs }: StreamConfig) => maxBytes !== null || maxMsgs !== null;

/** Whether a stream keeps as long, and as much, as a source's author has asked for. */
export function keepsAtLeast(config: StreamConfig, asked: CaptureLimits): boolean {
  return keepsAsLong(config, asked) && keepsAsMuch(config, asked);
}

function keepsAsLong({ maxAgeMs }: StreamConfig, asked: CaptureLimits): boolean {
  return !isBelow(maxAgeMs, asked.maxAgeMs);
}

function keepsAsMuch({ maxBytes, maxMsgs }: StreamConfig, asked: CaptureLimits): boolean {
  return maxMsgs === null && !isBelow(maxBytes, asked.maxBytes);
}

export const KEPT: readonly StreamSetting[] = [
  {
    name: 'retention: interest',
    holds: ({ retention }) => retention === 'interest',
    effects: [
      refused(['source'], GONE_WHEN_READ, `${UNLIMITED}; or ${COPY}`),
      refused(['table'], GONE_WHEN_READ, UNLIMITED),
      refused(['results'], 'it drops rows that were read, and with them what says how far results were sent', LOOSELY),
      less(['loose'], 'a row that nobody listens for is gone at once', UNLIMITED),
      refused(OURS, 'it drops what was read', UNLIMITED),
    ],
  },
  {
    name: 'retention: workqueue',
    holds: ({ retention }) => retention === 'workqueue',
    effects: [
      refused(['source'], FOR_ONE, COPY),
      refused(['table'], FOR_ONE, 'it cannot be taken back: put the rows into a bucket that nats kv add makes'),
      refused(['results'], 'it drops rows that were read, and with them what says how far results were sent', LOOSELY),
      less(['loose'], 'each row goes to one reader', IF_MEANT),
      refused(OURS, 'it drops what was read', BEGIN_ANEW),
    ],
  },
  {
    name: 'max_age below 24h',
    holds: (config, { keeps = null }) =>
      isBelow(config.maxAgeMs, OUTAGE_MS) && !(keeps !== null && keepsAsLong(config, keeps)),
    effects: [
      less(
        ['source'],
        'what is older is gone: a pipeline that was away for longer stops, with STREAM_CHANGED, or does not see it',
        LONGER,
      ),
      less(
        ['results', 'letters'],
        'after an outage that was longer nobody can tell what was sent, and the pipeline stops, with CHAIN_BROKEN',
        LONGER,
      ),
    ],
  },
  {
    name: 'max_age',
    holds: ({ maxAgeMs }) => maxAgeMs !== null,
    effects: [
      less(['table'], 'rows go by themselves when they are old', IF_MEANT),
      refused(['own'], 'what it drops is needed', 'nats stream edit NAME --max-age 0'),
    ],
  },
  {
    name: 'max_bytes or max_msgs, discard: old',
    holds: (config, { keeps = null }) =>
      isBounded(config) && config.discard === 'old' && !(keeps !== null && keepsAsMuch(config, keeps)),
    effects: [
      less(
        ['source'],
        'when it is full its oldest is dropped, also what was not read: then the pipeline stops, with STREAM_CHANGED, or does not see it',
        MORE,
      ),
      less(['table'], 'when it is full, rows go that nobody has deleted', 'nats stream edit NAME --discard new'),
      less(
        ['results', 'letters'],
        'when it is full its oldest rows are dropped, and with them what says how far results were sent',
        MORE,
      ),
      less(['loose'], 'when it is full its oldest rows are dropped', MORE),
    ],
  },
  {
    name: 'max_msgs',
    holds: ({ maxMsgs }) => maxMsgs !== null,
    effects: [refused(['own'], 'what it drops or refuses is needed', 'nats stream edit NAME --max-msgs=-1')],
  },
  {
    name: 'max_bytes or max_msgs, discard: new',
    holds: config => isBounded(config) && config.discard === 'new',
    effects: [
      less(
        [...WRITTEN, 'letters'],
        'when it is full the pipeline waits until there is room',
        `${MORE}; or --discard old`,
      ),
    ],
  },
  {
    name: 'discard: old',
    holds: ({ discard }) => discard === 'old',
    effects: [
      refused(['own'], 'where the account has no room it drops what is needed', 'nats stream edit NAME --discard new'),
    ],
  },
  {
    name: 'max_msgs_per_subject',
    holds: ({ maxMsgsPerSubject, discardNewPerSubject }) => maxMsgsPerSubject !== null && !discardNewPerSubject,
    effects: [
      less(
        ['source'],
        'a newer message takes the place of an older one of its subject, also of one that was not read',
        LATEST,
      ),
      less([...WRITTEN, 'letters'], 'of each subject only the latest are kept', LATEST),
      refused(['own'], 'what it drops is needed', ANY_NUMBER),
    ],
  },
  {
    name: 'discard_new_per_subject',
    holds: ({ discardNewPerSubject }) => discardNewPerSubject,
    effects: [
      refused(
        ['results', ...OURS],
        'a subject that is full takes nothing any more, and what says how far results were sent has one subject',
        'nats stream edit NAME --no-discard-per-subject',
      ),
      less(
        ['loose'],
        'when a subject is full the pipeline waits until somebody makes room',
        'nats stream edit NAME --no-discard-per-subject',
      ),
    ],
  },
  {
    name: 'max_msg_size below 1 KiB',
    holds: ({ maxMsgBytes }) => isBelow(maxMsgBytes, HEADERS_BYTES),
    effects: [
      refused(
        [...WRITTEN, 'letters'],
        'the headers of a row may take all of it, and then no row can be kept',
        'nats stream edit NAME --max-msg-size=-1',
      ),
    ],
  },
  {
    name: 'max_msg_size below 1 MiB',
    holds: ({ maxMsgBytes }, { role }) =>
      isBelow(maxMsgBytes, PAYLOAD_BYTES) && (role === 'own' || !isBelow(maxMsgBytes, HEADERS_BYTES)),
    effects: [
      less([...WRITTEN, 'letters'], 'a row that is larger cannot be kept', 'nats stream edit NAME --max-msg-size=-1'),
      refused(['own'], 'it refuses frames and commits', 'nats stream edit NAME --max-msg-size=-1'),
    ],
  },
  {
    name: 'persist_mode: async',
    holds: ({ persistAsync }) => persistAsync,
    effects: [
      less(
        ['source'],
        'a crash of the server may take messages that were acknowledged; where they were read, the pipeline stops, with STREAM_CHANGED',
        SYNCHRONOUS,
      ),
      less(
        ['results'],
        'a crash of the server may take rows that were acknowledged; then the pipeline stops, with CHAIN_BROKEN',
        SYNCHRONOUS,
      ),
      less(['loose', 'table'], 'a crash of the server may take rows that were acknowledged', SYNCHRONOUS),
      refused(OURS, 'a crash of the server may take commits that were acknowledged', BEGIN_ANEW),
    ],
  },
  {
    name: 'storage: memory',
    holds: ({ storage }) => storage === 'memory',
    effects: [
      less(
        ['source'],
        'it is gone when its server ends, and then the pipeline stops, with STREAM_MISSING or STREAM_CHANGED',
        ON_DISK,
      ),
      less(['table'], 'it is gone when its server ends', ON_DISK),
      less(
        ['results', 'letters'],
        'it is gone when its server ends, and then the pipeline stops, with STREAM_MISSING or CHAIN_BROKEN',
        ON_DISK,
      ),
      less(['loose'], 'it is gone when its server ends', ON_DISK),
      refused(['own'], 'it is gone when its server ends', BEGIN_ANEW),
    ],
  },
  {
    name: 'num_replicas: 1, in a cluster',
    holds: ({ isClustered, replicas }) => isClustered && replicas === 1,
    effects: [
      less(
        ALL,
        'it is gone when its server is lost for good, and away while that is down',
        'nats stream edit NAME --replicas 3',
      ),
    ],
  },
  {
    name: 'duplicate_window below 2m',
    holds: ({ duplicateWindowMs }) => isBelow(duplicateWindowMs, DUPLICATE_WINDOW_MS),
    effects: [
      less(
        ['loose'],
        'a row that is sent again later than that is there twice',
        'nats stream edit NAME --dupe-window 2m',
      ),
    ],
  },
  {
    name: 'consumer_limits.inactive_threshold below 30s',
    holds: ({ inactiveThresholdMsMax }) => isBelow(inactiveThresholdMsMax, READER_INACTIVE_MS),
    effects: [
      refused(
        [...READ, 'own'],
        'it allows no consumer that is kept for 30s, as readers ask for',
        'edit its consumer_limits: nats stream edit NAME --interactive',
      ),
    ],
  },
  {
    name: 'max_consumers',
    holds: ({ maxConsumers }) => maxConsumers !== null,
    effects: [
      less(
        READ,
        'each reader of it needs one, and waits while there is none left',
        'nothing, if there are enough: it cannot be changed',
      ),
      refused(['own'], 'each task needs one', BEGIN_ANEW),
    ],
  },
];
