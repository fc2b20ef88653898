/**
 * Names: the one page that says what Millrace calls its streams and subjects, and what a name may look like. Everything
 * that a pipeline keeps in the broker can be found, and cleaned up, by these patterns alone.
 *
 *   stream                    subjects                                              who writes
 *   MR_<pipeline>_journal     _mr.<pipeline>.j.<stage>.<partition>                  the task: its journal
 *   MR_<pipeline>_x_<stage>   _mr.<pipeline>.x.<stage>.<partition>.<input>.<writer> one writer to one task
 *                             _mr.<pipeline>.w.<stage>.<input>.<writer>             one writer to all tasks of a stage
 *   a sink's stream           the user's own, and for a shared sink its markers:
 *                             _mr.<pipeline>.m.<sink>.<stage>.<partition>           the task: what of it is in
 *   MR_<pipeline>_letters     millrace.<pipeline>.dead.<operator>                   dead letters
 *                             millrace.<pipeline>.late.<operator>                   late records
 *                             _mr.<pipeline>.l.<writer>                             the markers of both
 *
 * Streams of one account may not overlap in their subjects, hence a sink's markers carry the sink's name and letters
 * have a letter of their own. Names are unique within their kind, so every subject has one meaning.
 */

/** Pipelines: short, since the name is part of every subject. */
export const PIPELINE_NAME = /^[a-z0-9-]{1,40}$/;

/** Operators, sources, sinks, stages and inputs: one subject token each, also a part of file and table names. */
export const OPERATOR_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** Streams, as the broker takes them and as a folder can be called. */
export const STREAM_NAME = /^[A-Za-z0-9_-]{1,128}$/;

/** Who appends to a channel: a reader, or a task of another stage. The two never look alike. */
export function readerWriter(reader: string): string {
  return `r-${reader}`;
}

export function taskWriter(task: { stage: string; partition: number }): string {
  return `t-${task.stage}-${task.partition}`;
}

export function journalStream(pipeline: string): string {
  return `MR_${pipeline}_journal`;
}

export function journalSubjects(pipeline: string): string {
  return `_mr.${pipeline}.j.>`;
}

export function journalSubject(pipeline: string, task: { stage: string; partition: number }): string {
  return `_mr.${pipeline}.j.${task.stage}.${task.partition}`;
}

/**
 * A stream for each stage that is sent to: it is bounded, and when it is full its writers wait. Were it shared between
 * stages, a stage could wait for room that only its own waiting would make.
 */
export function channelsStream(pipeline: string, stage: string): string {
  return `MR_${pipeline}_x_${stage}`;
}

/** All channels into the stage, then all broadcasts. */
export function channelsSubjects(pipeline: string, stage: string): readonly string[] {
  return [`_mr.${pipeline}.x.${stage}.>`, `_mr.${pipeline}.w.${stage}.>`];
}

export function channelSubject(
  pipeline: string,
  channel: { stage: string; partition: number; input: string; writer: string },
): string {
  return `_mr.${pipeline}.x.${channel.stage}.${channel.partition}.${channel.input}.${channel.writer}`;
}

/** Watermarks and positions of one writer, for all tasks of the stage at once. */
export function broadcastSubject(pipeline: string, to: { stage: string; input: string; writer: string }): string {
  return `_mr.${pipeline}.w.${to.stage}.${to.input}.${to.writer}`;
}

/** What the stream of a shared sink must list besides the sink's own subjects. */
export function markerSubjects(pipeline: string, sink: string): string {
  return `_mr.${pipeline}.m.${sink}.>`;
}

export function markerSubject(pipeline: string, marker: { sink: string; stage: string; partition: number }): string {
  return `_mr.${pipeline}.m.${marker.sink}.${marker.stage}.${marker.partition}`;
}

export function lettersStream(pipeline: string): string {
  return `MR_${pipeline}_letters`;
}

export function lettersSubjects(pipeline: string): readonly string[] {
  return [`millrace.${pipeline}.dead.>`, `millrace.${pipeline}.late.>`, `_mr.${pipeline}.l.>`];
}

export function letterSubject(pipeline: string, letter: { kind: 'dead' | 'late'; operator: string }): string {
  return `millrace.${pipeline}.${letter.kind}.${letter.operator}`;
}

/** `writer` is `readerWriter` or `taskWriter`. */
export function letterMarkerSubject(pipeline: string, writer: string): string {
  return `_mr.${pipeline}.l.${writer}`;
}

/** The stream that keeps a KV bucket, and its subjects: the bucket, then the key. */
export function bucketStream(bucket: string): string {
  return `KV_${bucket}`;
}

export function bucketSubjects(bucket: string): string {
  return `$KV.${bucket}.>`;
}

/** The bucket of `bucketSubjects`. */
export function bucketOf(subjects: string): string {
  return subjects.slice('$KV.'.length, -'.>'.length);
}

/**
 * A stream that Millrace makes for a user's subject is called after the subject's literal beginning, `analytics.hires.*`
 * → `analytics_hires`; where that name is taken, after all of it: `analytics_hires_any`.
 */
export function streamNamesFor(subject: string): readonly [short: string, long: string] {
  const tokens = tokensOf(subject);
  const literal = tokens.slice(0, subject.split('.').findIndex(token => token === '*' || token === '>') >>> 0);
  return [literal.join('_').slice(0, 100) || 'all', tokens.join('_').slice(0, 100)];
}

/** A subject as one token: `hr.employee.*` → `hr-employee-any`. */
export function nameFor(subject: string): string {
  return tokensOf(subject).join('-').slice(0, 60);
}

function tokensOf(subject: string): string[] {
  const plain = (token: string) => (token === '*' ? 'any' : token === '>' ? 'all' : token);
  return subject.split('.').map(token => plain(token).replace(/[^A-Za-z0-9_-]/g, '_'));
}
