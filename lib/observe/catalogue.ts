/**
 * The catalogue: every event and every metric there is. Logs, metrics, the tables of this room's README, the dashboard
 * and the alerts of `deploy/` are all held against it by tests, so a name that is not here does not exist.
 *
 * Metrics follow Prometheus: base units (seconds, bytes), `_total` for what only grows. Labels are names out of plans
 * (pipeline, source, sink, stage), a partition, or a word of a fixed set; never a key or a subject.
 */
import type { Level } from './events.ts';

export interface EventEntry {
  readonly levels: readonly Level[];
  /** Beside `event` and `level`. `code` and `message` are an error's. */
  readonly fields: readonly string[];
  readonly means: string;
}

const ERROR = ['code', 'message'] as const;
const CALL = ['who', 'from', 'via', 'method', 'pipeline', 'revision', 'bundle', 'outcome', 'code', 'times'] as const;
const TASK = ['pipeline', 'stage', 'partition'] as const;

export const EVENTS = {
  'worker.started': { levels: ['info'], fields: ['worker', 'active'], means: 'it follows what is deployed' },
  'worker.stopping': { levels: ['info'], fields: ['signal'], means: 'it was told to end, and hands over' },
  'worker.stopped': {
    levels: ['info', 'warn'],
    fields: ['worker', 'inTime'],
    means: 'everything is handed over; `warn`: not all of it in time, and the next owner recovers the rest',
  },
  'worker.failed': { levels: ['error'], fields: [...ERROR], means: 'it cannot go on, and ends' },
  'user.failed': {
    levels: ['warn'],
    fields: [...ERROR],
    means: 'a promise or a timer that a function of a pipeline left behind has failed',
  },
  'worker.crashed': { levels: ['error'], fields: [...ERROR, 'stack'], means: 'something unexpected; the process ends' },
  'engine.stuck': {
    levels: ['error'],
    fields: ['thread', 'pipeline', 'operator', 'sequence', 'message'],
    means:
      'a function of a pipeline did not return, or (without `sequence`) something behind it; the engine is started anew and the record becomes a dead letter',
  },
  'engine.crashed': {
    levels: ['error'],
    fields: ['thread', ...ERROR, 'stack', 'retryMs'],
    means: 'something unexpected in a thread that runs pipelines, or no memory was left; it is started anew',
  },
  'config.ignored': { levels: ['warn'], fields: ['message'], means: 'a variable is set that means nothing' },
  'data.open': {
    levels: ['warn'],
    fields: ['message'],
    means: 'others could look into the data folder; it is closed to them where that can be changed',
  },
  'api.listening': {
    levels: ['info'],
    fields: ['address', 'worker'],
    means: 'the API answers, at each of these addresses',
  },
  'metrics.listening': { levels: ['info'], fields: ['address'], means: 'metrics and probes answer' },
  'api.certificate-renewed': { levels: ['info'], fields: ['file'], means: 'the new certificate is used from now on' },
  'api.certificate-unusable': {
    levels: ['warn'],
    fields: [...ERROR],
    means: 'the changed certificate cannot be used; the one before is kept',
  },
  'api.access-renewed': {
    levels: ['info'],
    fields: ['file'],
    means: 'the new token or identities count from now on; streams of whoever may less are ended',
  },
  'api.access-unusable': {
    levels: ['warn'],
    fields: ['file', ...ERROR],
    means: 'the changed token or access file cannot be used; what was read before is kept',
  },
  'api.changed': { levels: ['info'], fields: [...CALL], means: 'somebody has asked for a change' },
  'api.refused': {
    levels: ['warn'],
    fields: [...CALL],
    means: 'a call was not let in, or its caller has not the role; alike ones are counted for a minute',
  },
  'audit.unwritten': {
    levels: ['warn'],
    fields: [...ERROR],
    means: 'these changes and refusals could not be kept yet; it is tried again',
  },
  'audit.full': { levels: ['warn'], fields: ['entries'], means: 'so many wait to be kept, and further ones are lost' },
  'audit.lost': { levels: ['warn'], fields: ['entries'], means: 'so many were lost; there is room again' },
  'call.failed': { levels: ['warn'], fields: [...ERROR], means: 'a call to the API met something unexpected' },
  'lease.taken': {
    levels: ['info'],
    fields: ['worker', 'holder', 'term'],
    means: 'this worker leads: it says what runs where',
  },
  'lease.lost': { levels: ['warn'], fields: ['worker', 'holder', 'term'], means: 'another worker leads now' },
  'lease.unreachable': { levels: ['warn'], fields: [...ERROR], means: 'the lease could not be read or renewed' },
  'lease.unreleased': { levels: ['warn'], fields: [...ERROR], means: 'the next worker must wait for the lease to end' },
  'events.unreachable': {
    levels: ['warn'],
    fields: ['member', 'message'],
    means: 'another worker does not tell its events to those who look at them now',
  },
  'events.missed': {
    levels: ['warn'],
    fields: ['member', 'message'],
    means: 'another worker had forgotten some of its events before those who look at them got them',
  },
  'presence.unwritten': {
    levels: ['debug'],
    fields: ['worker', ...ERROR],
    means: 'the others hear later that this worker is there',
  },
  'spec.unreadable': { levels: ['error'], fields: [...ERROR], means: 'what is deployed under a name cannot be read' },
  'registry.troubled': {
    levels: ['warn'],
    fields: [...ERROR],
    means: 'watching the registry failed; it is tried again',
  },
  'nats.connected': { levels: ['info'], fields: ['server'], means: 'the connection is back' },
  'nats.disconnected': { levels: ['warn'], fields: [], means: 'the connection is gone; it is tried again for ever' },
  'nats.unreachable': {
    levels: ['warn'],
    fields: ['retryMs', ...ERROR],
    means: 'no server answers a worker that starts; it waits',
  },
  'nats.refused': { levels: ['error'], fields: ['message'], means: 'the server denies a permission that is needed' },
  'nats.misanswered': {
    levels: ['warn', 'debug'],
    fields: ['subject', 'count', 'message'],
    means: "somebody answers in JetStream's place, and is not believed; `debug`: again on that subject",
  },
  'nats.starved': {
    levels: ['warn'],
    fields: ['stream', 'message'],
    means: 'a consumer was paused or edited and delivers nothing; another takes its place',
  },
  'nats.closed': { levels: ['error'], fields: ['message'], means: 'the connection is closed for good' },
  'broker.stalled': {
    levels: ['warn'],
    fields: ['pipeline', 'subject', 'message'],
    means: 'the broker has not decided about a write for long; it is tried again',
  },
  'broker.recovered': {
    levels: ['info'],
    fields: ['pipeline', 'subject', 'waitedMs'],
    means: 'what had stalled is decided',
  },
  'stream.edited': {
    levels: ['warn', 'error'],
    fields: ['pipeline', 'stream', 'message'],
    means:
      'a stream is not kept as it was; `warn`: it promises less, `error`: the pipeline stops, or is in danger if the stream is its own',
  },
  'replay.forged': {
    levels: ['warn'],
    fields: ['pipeline', 'stream', 'sequence', 'message'],
    means:
      'a message says that it is a replay, and no worker has published it: it is judged like any other; the first of a source',
  },
  'letters.forged': {
    levels: ['warn'],
    fields: ['pipeline', 'stream', 'sequence', 'message'],
    means: 'a message under the subjects of letters was not written by a task: it is neither shown nor replayed',
  },
  'letters.dropped': {
    levels: ['warn'],
    fields: ['pipeline', 'stream', 'letters', 'message'],
    means: "the oldest letters are gone, as the pipeline's `letters` option says",
  },
  'blobs.swept': { levels: ['info'], fields: ['removed', 'first'], means: 'blobs that nothing names are gone' },
  'disk.swept': {
    levels: ['info'],
    fields: ['removed', 'first'],
    means: 'local stores of pipelines that were purged are gone',
  },
  'disk.unswept': { levels: ['warn'], fields: [...ERROR], means: 'removing such stores failed; it is tried again' },
  'assignments.unwritten': {
    levels: ['warn'],
    fields: [...ERROR],
    means: 'the leader could not say whose the parts of pipelines are; it tries again',
  },
  'blobs.unswept': { levels: ['warn'], fields: [...ERROR], means: 'looking for such blobs failed; it is tried again' },
  'pipeline.started': {
    levels: ['info'],
    fields: ['pipeline', 'revision'],
    means: 'its readers and tasks are on their way',
  },
  'pipeline.stopped': { levels: ['info'], fields: ['pipeline', 'revision'], means: 'it is handed over' },
  'pipeline.failed': {
    levels: ['warn', 'error'],
    fields: ['pipeline', 'revision', 'attempt', ...ERROR],
    means: 'it stopped by itself; `warn`: it is tried again, `error`: not before a person has acted',
  },
  'pipeline.quarantined': {
    levels: ['warn'],
    fields: ['pipeline', 'message'],
    means: 'its functions did harm to what ran beside it; it has a thread of its own while others run here',
  },
  'pipeline.released': {
    levels: ['info'],
    fields: ['pipeline'],
    means: 'it has gone on for long without doing harm, and runs among others again',
  },
  'pipeline.deleted': { levels: ['info'], fields: ['pipeline', 'revision', 'purge'], means: 'a delete is carried out' },
  'reader.opened': {
    levels: ['info'],
    fields: ['pipeline', 'reader', 'position'],
    means: 'it reads on after `position`',
  },
  'table.replaced': {
    levels: ['warn'],
    fields: ['pipeline', 'reader'],
    means: 'its bucket is another than it was, made anew or put back to an older copy: all of it is read again',
  },
  'reader.finishing': {
    levels: ['info'],
    fields: ['pipeline', 'reader', 'program', 'through'],
    means:
      'the code of revision `program` sends the rest of what it has begun, through message `through`; the present one follows',
  },
  'part.careful': {
    levels: ['warn'],
    fields: ['pipeline', 'part', 'starts', 'message'],
    means: 'starts that read nothing on are behind it: it takes a few records at a time, and says before which',
  },
  'record.deadly': {
    levels: ['error'],
    fields: ['pipeline', 'part', 'input', 'sequence', 'message'],
    means: 'a record has ended its process again and again: it becomes a dead letter, or what its source says',
  },
  'reader.failed': {
    levels: ['warn', 'error'],
    fields: ['pipeline', 'reader', ...ERROR],
    means: 'it ended; `warn`: it is started again, `error`: the pipeline stops',
  },
  'source.unread': {
    levels: ['warn'],
    fields: ['pipeline', 'source', 'message'],
    means:
      'a stream keeps a part of the subject that the source does not read, or one that it reads takes less of it, or nothing; told once',
  },
  'task.restored': {
    levels: ['info'],
    fields: [...TASK, 'epoch', 'commits', 'commitsReplayed', 'entries', 'from', 'warm', 'tookMs'],
    means:
      'it has its state as of its last commit, `from` store, snapshot or nothing, and works; `warm`: it was followed here before',
  },
  'task.checkpointed': {
    levels: ['debug'],
    fields: [...TASK, 'bytes', 'tookMs'],
    means: 'a snapshot is durable, so the journal may be cut',
  },
  'member.joined': { levels: ['info'], fields: ['member', 'message'], means: 'another worker is there' },
  'member.changed': {
    levels: ['info'],
    fields: ['member', 'message'],
    means: 'a worker has another zone or capacity, or is draining, or no longer',
  },
  'member.suspect': { levels: ['warn'], fields: ['member', 'message'], means: 'a worker has been silent for a second' },
  'member.well': { levels: ['info'], fields: ['member', 'message'], means: 'it answers again' },
  'member.gone': {
    levels: ['warn'],
    fields: ['member', 'why', 'message'],
    means: 'a worker has ended (`nobody` answers for it) or was `silent` for three seconds: what it has goes to others',
  },
  'member.back': { levels: ['info'], fields: ['member', 'message'], means: 'a worker that was gone is there' },
  'member.restarted': { levels: ['info'], fields: ['member', 'message'], means: 'another process has its name now' },
  'member.doubled': { levels: ['warn'], fields: ['member', 'message'], means: 'another process has its name, too' },
  'member.isolated': {
    levels: ['warn'],
    fields: ['message'],
    means: 'this worker hears nobody, itself included, and calls nobody gone',
  },
  'member.connected': { levels: ['info'], fields: ['message'], means: 'this worker hears the others' },
  'task.unfollowed': {
    levels: ['warn'],
    fields: [...TASK, 'retryMs', ...ERROR],
    means: 'a replica of it could not be kept here; it is tried again',
  },
  'parts.placed': {
    levels: ['info'],
    fields: ['pipeline', 'parts', 'workers'],
    means: 'so many tasks and readers that nobody had were given to so many workers',
  },
  'part.moved': {
    levels: ['info'],
    fields: ['pipeline', 'part', 'from', 'to', 'why'],
    means:
      'a task or reader has another owner; `why`: its owner is `gone`, `draining`, or had more than its share (`balance`)',
  },
  'task.fenced': { levels: ['warn'], fields: [...TASK, ...ERROR], means: 'a newer owner has it' },
  'task.failed': {
    levels: ['warn', 'error'],
    fields: [...TASK, ...ERROR],
    means: 'it ended; `warn`: it is started again and restores itself, `error`: the pipeline stops',
  },
} as const satisfies Record<string, EventEntry>;

export interface MetricEntry {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
  /** A histogram's upper bounds, seconds. */
  readonly buckets?: readonly number[];
}

const QUICK = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const END_TO_END = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600];
const SLOW = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const SOURCE = ['pipeline', 'source'] as const;
const SINK = ['pipeline', 'sink'] as const;
const STAGE = ['pipeline', 'stage'] as const;

export const METRICS = {
  millrace_source_records_total: {
    type: 'counter',
    labels: SOURCE,
    help: 'Records read from a source; after a restart, what was not committed is read and counted again.',
  },
  millrace_source_bytes_total: { type: 'counter', labels: SOURCE, help: 'Payload bytes of the messages read.' },
  millrace_source_lag_messages: {
    type: 'gauge',
    labels: SOURCE,
    help: 'Messages left to read, as the broker said with its last delivery.',
  },
  millrace_source_lag_seconds: {
    type: 'gauge',
    labels: SOURCE,
    help: 'How long ago the next unread message was published (broker timestamp against this clock); 0 when all is read.',
  },
  millrace_source_watermark_timestamp_seconds: {
    type: 'gauge',
    labels: SOURCE,
    help: 'Event time up to which a source is taken to be complete, seconds since 1970.',
  },
  millrace_source_idle: {
    type: 'gauge',
    labels: SOURCE,
    help: '1: the broker has had nothing for the idleAfter of the source.',
  },
  millrace_sink_records_total: { type: 'counter', labels: SINK, help: 'Results that the broker has acknowledged.' },
  millrace_sink_bytes_total: { type: 'counter', labels: SINK, help: 'Payload bytes of these results.' },
  millrace_commits_total: {
    type: 'counter',
    labels: TASK,
    help: 'Commits that have landed in the journal of a task.',
  },
  millrace_commit_duration_seconds: {
    type: 'histogram',
    labels: STAGE,
    help: 'From sending a commit to its journal to the acknowledgement of the broker.',
    buckets: QUICK,
  },
  millrace_end_to_end_duration_seconds: {
    type: 'histogram',
    labels: STAGE,
    help: 'From the broker timestamp of the oldest source message of a commit (against this clock) to the acknowledgement of all its results; once for each commit that read something and has results.',
    buckets: END_TO_END,
  },
  millrace_task_watermark_timestamp_seconds: {
    type: 'gauge',
    labels: TASK,
    help: 'Event time of a task, seconds since 1970.',
  },
  millrace_state_bytes: { type: 'gauge', labels: TASK, help: 'State of a task that is in memory, about.' },
  millrace_state_entries: { type: 'gauge', labels: TASK, help: 'Entries of state of a task.' },
  millrace_journal_bytes: { type: 'gauge', labels: TASK, help: 'Journal that no cut has dropped yet, about.' },
  millrace_journal_commits: { type: 'gauge', labels: TASK, help: 'Commits that no cut has dropped yet.' },
  millrace_relay_backlog_bytes: {
    type: 'gauge',
    labels: TASK,
    help: 'Commits that are journaled and not wholly sent.',
  },
  millrace_checkpoint_duration_seconds: {
    type: 'histogram',
    labels: STAGE,
    help: 'Writing a checkpoint, in the background, from its commit to the local store.',
    buckets: SLOW,
  },
  millrace_checkpoint_bytes_total: { type: 'counter', labels: STAGE, help: 'Bytes of new segments of checkpoints.' },
  millrace_restore_duration_seconds: {
    type: 'histogram',
    labels: STAGE,
    help: 'From the claim of a task until it works.',
    buckets: SLOW,
  },
  millrace_late_records_total: { type: 'counter', labels: ['pipeline'], help: 'Records that came after their window.' },
  millrace_dead_letters_total: { type: 'counter', labels: ['pipeline'], help: 'Records that became dead letters.' },
  millrace_deadly_records_total: {
    type: 'counter',
    labels: ['pipeline'],
    help: 'Records that ended their process again and again, and are not given to any code any more.',
  },
  millrace_dropped_records_total: {
    type: 'counter',
    labels: ['pipeline', 'reason'],
    help: 'Records that ended without a result: duplicate, filtered, skipped, heartbeat, null-key, null-value.',
  },
  millrace_restarts_total: {
    type: 'counter',
    labels: ['pipeline', 'part'],
    help: 'Readers and tasks (part) that ended with an error that passes, and were started again.',
  },
  millrace_pipeline_state: {
    type: 'gauge',
    labels: ['pipeline', 'state'],
    help: '1 for the state that a pipeline is in on this worker, 0 for the others. Of pipelines of which it has a part.',
  },
  millrace_pipeline_quarantined: {
    type: 'gauge',
    labels: ['pipeline'],
    help: '1: it has a thread of its own, since its functions did harm to what ran beside it.',
  },
  millrace_events_total: { type: 'counter', labels: ['event', 'level'], help: 'Events, as the log has them.' },
  millrace_worker_active: {
    type: 'gauge',
    labels: [],
    help: '1: this worker leads, and says what runs where; 0: another does.',
  },
  millrace_engine_busy_seconds_total: {
    type: 'counter',
    labels: [],
    help: 'Time in which the threads that run pipelines were at work; one second a second is all that each of them can.',
  },
  millrace_engine_thread_busy_seconds_total: {
    type: 'counter',
    labels: ['thread'],
    help: 'The same of each thread: by its number, or by the name of the pipeline that has it for itself.',
  },
  millrace_worker_ready: { type: 'gauge', labels: [], help: '1: /readyz says yes.' },
  millrace_nats_connected: { type: 'gauge', labels: [], help: '1: there is a connection to NATS.' },
  millrace_nats_reconnects_total: { type: 'counter', labels: [], help: 'Connections that came back.' },
  millrace_nats_answers_ignored_total: {
    type: 'counter',
    labels: [],
    help: 'Answers to what was published or asked that are not of JetStream; they count for nothing.',
  },
  millrace_build_info: { type: 'gauge', labels: ['version', 'worker'], help: 'Always 1.' },
} as const satisfies Record<string, MetricEntry>;

export type MetricName = keyof typeof METRICS;
