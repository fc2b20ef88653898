/** Settings of streams that say what goes in, what comes out, and what may be done to it: one half of `stream-settings.ts`. */
import { BEGIN_ANEW } from '../base/errors.ts';
import type { StreamConfig } from '../port/stream-config.ts';
import { covers, overlaps } from '../record/subject.ts';
import {
  ALL,
  ELSEWHERE,
  IF_MEANT,
  LOOSELY,
  less,
  OURS,
  READ,
  refused,
  type StreamSetting,
  type StreamUse,
  WRITTEN,
} from './stream-effects.ts';

/** Far from 2^53, where numbers have gaps, and never reached by counting. */
const SEQ_MAX = 2 ** 52;
const ANEW = 'it cannot be taken back: nats stream rm NAME, and restart the pipeline, which makes it anew';
const UNMOVED = 'nats stream edit NAME --no-transform';
const UNTOLD = 'nats stream edit NAME --no-republish';
const UNMARKED = 'nats stream edit NAME --subject-del-markers-ttl 0s';

export const TAKEN: readonly StreamSetting[] = [
  {
    name: 'no_ack',
    holds: ({ noAck }) => noAck,
    effects: [
      refused(
        WRITTEN,
        'it answers nobody, so nothing is ever known to be in it',
        `nats stream edit NAME --ack; or ${ELSEWHERE}`,
      ),
      refused(OURS, 'it answers nobody, so nothing is ever known to be in it', 'nats stream edit NAME --ack'),
    ],
  },
  {
    name: 'sealed',
    holds: ({ sealed }) => sealed,
    effects: [
      refused(WRITTEN, 'it takes nothing any more, for good', ELSEWHERE),
      refused(
        ['own'],
        'it takes nothing any more, for good',
        `restore it as it was (nats stream restore), or ${BEGIN_ANEW}`,
      ),
      refused(['letters'], 'it takes nothing any more, for good', ANEW),
    ],
  },
  {
    name: 'mirror',
    holds: ({ mirror }) => mirror !== null,
    effects: [refused([...WRITTEN, ...OURS], 'it is a copy of another stream, to which nobody can write', ELSEWHERE)],
  },
  {
    name: 'sources',
    holds: ({ sources }) => sources.length > 0,
    effects: [
      less(
        ['results'],
        'it takes messages from other streams as well, which must not have the subjects of these results',
        'see to it that they have others, or let other streams copy this one instead',
      ),
    ],
  },
  {
    name: 'subject_transform',
    holds: isMoved,
    effects: [
      refused(
        READ,
        'it keeps messages under other subjects than they are sent to, where this reads none',
        `${UNMOVED}; or read the subjects that they are kept under`,
      ),
      refused(
        ['results'],
        'it keeps messages under other subjects than they are sent to, so what was sent cannot be found again',
        `${UNMOVED}; or ${LOOSELY}`,
      ),
      less(['loose'], 'rows are kept under other subjects than they are sent to', IF_MEANT),
      refused(OURS, 'it keeps messages under other subjects than they are sent to', UNMOVED),
    ],
  },
  {
    name: 'republish, onto what the pipeline reads',
    holds: ({ republish }, { reads }) =>
      republish !== null && reads.some(one => overlaps(one, patternOf(republish.dest))),
    effects: [
      refused([...WRITTEN, ...OURS], 'what the pipeline writes comes back as its input, without an end', UNTOLD),
    ],
  },
  {
    name: 'republish, onto what the pipeline writes',
    holds: ({ republish }, { writes }) =>
      republish !== null && writes.some(one => overlaps(one, patternOf(republish.dest))),
    effects: [refused(ALL, 'what is not of the pipeline gets among its results', UNTOLD)],
  },
  {
    name: 'first_seq beyond 2^52',
    holds: (_config, _use, lastSeq) => lastSeq > SEQ_MAX,
    effects: [
      refused(
        [...READ, ...WRITTEN, 'letters'],
        'its sequences are near to 2^53, from where on two of them cannot be told apart',
        'make it anew, with a lower first_seq',
      ),
      refused(['own'], 'its sequences are near to 2^53, from where on two of them cannot be told apart', BEGIN_ANEW),
    ],
  },
  { name: 'republish, elsewhere', holds: null, effects: [] },
  {
    name: 'deny_delete',
    holds: ({ denyDelete }) => denyDelete,
    effects: [refused(['letters'], 'letters can be neither replayed nor discarded', ANEW)],
  },
  {
    name: 'deny_purge',
    holds: ({ denyPurge }) => denyPurge,
    effects: [
      less(
        ['results'],
        'a shared sink leaves its markers there: delete --purge cannot come to its end',
        'it cannot be taken back: use another stream if the pipeline is ever to be purged',
      ),
      refused(
        ['own'],
        'journals and channels cannot be cut, and grow without an end',
        `it cannot be taken back: ${BEGIN_ANEW}`,
      ),
      refused(['letters'], 'letters cannot be purged', ANEW),
    ],
  },
  {
    name: 'allow_rollup_hdrs',
    holds: ({ allowRollup }) => allowRollup,
    effects: [
      less(
        ['source'],
        'who publishes with Nats-Rollup takes messages away, also those that were not read',
        'nothing, if nobody does; else nats stream edit NAME --no-allow-rollup',
      ),
    ],
  },
  {
    name: 'allow_atomic: false',
    holds: ({ allowAtomic }, { batches }) => batches && !allowAtomic,
    effects: [
      refused(
        ['results'],
        'shared results come in atomic batches, which it does not allow',
        "nats stream edit NAME --allow-batch; or say mode: 'at-least-once'",
      ),
      refused(
        ['letters'],
        'letters come in atomic batches, which it does not allow',
        'nats stream edit NAME --allow-batch',
      ),
    ],
  },
  {
    name: 'allow_msg_ttl',
    holds: ({ allowMsgTtl }) => allowMsgTtl,
    effects: [
      less(
        ['source'],
        'a message with Nats-TTL that expires before it is read is never seen',
        'nothing, if nobody sends such; it cannot be taken back',
      ),
    ],
  },
  {
    name: 'subject_delete_marker_ttl',
    holds: ({ leavesMarkers }) => leavesMarkers,
    effects: [
      less(
        ['source'],
        'where the last message of a subject expires the server leaves one without content, which is read like any other',
        UNMARKED,
      ),
      refused(
        ['results', ...OURS],
        'the server writes markers of its own onto subjects where the last message says how far results were sent',
        UNMARKED,
      ),
    ],
  },
  {
    name: 'allow_msg_counter',
    holds: ({ allowMsgCounter }) => allowMsgCounter,
    effects: [
      refused(WRITTEN, 'it takes nothing but increments', ELSEWHERE),
      refused(OURS, 'it takes nothing but increments', BEGIN_ANEW),
    ],
  },
  {
    name: 'allow_msg_schedules',
    holds: ({ allowMsgSchedules }) => allowMsgSchedules,
    effects: [
      less(
        ['source'],
        'a schedule is itself a message, and read where its subject is covered',
        'give schedules a subject that no source reads',
      ),
    ],
  },
];

/** Whether what is sent to the subjects is kept under others. */
function isMoved({ subjectTransform }: StreamConfig, { role, subjects }: StreamUse): boolean {
  if (subjectTransform === null) return false;
  const { src, dest } = subjectTransform;
  return subjects.some(
    // A source may well read the subjects that messages get, as long as it reads all of them.
    subject => overlaps(subject, src || '>') && !(role === 'source' && covers(subject, patternOf(dest))),
  );
}

/**
 * The subjects that a mapping makes, as a filter: `orders.{{wildcard(1)}}` → `orders.*`. A function that may make several
 * tokens stands for all that may follow.
 */
export function patternOf(dest: string): string {
  const tokens: string[] = [];
  for (const token of dest.split('.')) {
    if (/^\{\{\s*(split|slice)/i.test(token)) return [...tokens, '>'].join('.');
    tokens.push(/^\{\{.*\}\}$|^\$\d+$/.test(token) ? '*' : token);
  }
  return tokens.join('.');
}
