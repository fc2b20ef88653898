/**
 * `describe`: one pipeline, worker or task in full.
 */
import type { Command } from 'commander';
import type { AdminClient, PipelineInfo } from '../../lib/control/client.ts';
import type { WorkerView } from '../../lib/service/views.ts';
import { eventTimeText } from '../event-time.ts';
import { ago, bytes, count, facts, print, span, table, time } from '../output.ts';
import * as resources from '../resources.ts';
import type { Terminal } from '../terminal.ts';
import { type Around, asking, formatOf, makeCommand, needed, type Options, printing, withClient } from './common.ts';
import { kindOf, taskPlace, unknownKind } from './get.ts';

export function describeVerb(around: Around): Command {
  const command = makeCommand(
    'describe',
    'Show one pipeline, worker or task in full: status, sources, tasks, plan.',
    ['millrace describe orders', 'a pipeline'],
    ['millrace describe worker', 'the worker that answers'],
    ['millrace describe task orders/by-id/3'],
  )
    .argument('<kind>', 'pipeline, worker or task; or at once the name of a pipeline')
    .argument('[name]', 'which one; a task as PIPELINE/STAGE/PARTITION');
  return asking(printing(command)).action((word: string, name: string | undefined, options: Options) =>
    withClient(around, options, async client => {
      const kind = kindOf(word);
      const { output } = formatOf(options);
      const { terminal } = around;
      if (kind === 'workers') {
        const worker = await client.worker(name ?? '');
        const tasks = (await client.tasks()).filter(task => task.worker === worker.name);
        const value = { ...(resources.workers.json(worker) as object), runs: tasks.map(resources.tasks.json) };
        return print(terminal, output, value, () => workerText(terminal, worker, tasks));
      }
      if (kind === 'tasks') {
        const task = await client.task(taskPlace(needed(name, 'the name of the task', 'orders/by-id/3')));
        return print(terminal, output, resources.tasks.json(task), () => taskText(task));
      }
      if (kind === null && name !== undefined) throw unknownKind(word);
      if (kind !== null && kind !== 'pipelines') throw unknownKind(word);
      return describePipeline(terminal, client, kind === null ? word : needed(name, 'the name', 'orders'), output);
    }),
  );
}

async function describePipeline(
  terminal: Terminal,
  client: AdminClient,
  name: string,
  output: Parameters<typeof print>[1],
): Promise<void> {
  const { pipeline, text, summary } = await client.describe(name);
  const value = { ...(resources.pipelines.json(pipeline) as object), plan: summary };
  print(terminal, output, value, () => `${pipelineText(terminal, pipeline)}\n\n${text}`);
}

function pipelineText(terminal: Terminal, pipeline: PipelineInfo): string {
  const { status } = pipeline;
  const { counts } = status;
  const state = resources.stateOf(pipeline);
  const letters = counts.dead + counts.late;
  const parts = [
    facts([
      ['Name', pipeline.name],
      ['State', terminal.paint(resources.paintOf(state), state)],
      ['Reason', status.reason ?? ''],
      ['Quarantine', status.quarantine === null ? '' : `in a thread of its own: ${status.quarantine}`],
      ['Revision', `${pipeline.revision}, of ${time(pipeline.deployedAtMs)} from ${pipeline.file}`],
      ['Deployed by', pipeline.deployedBy ?? ''],
      ['Bundle', pipeline.bundleHash.slice(0, 12)],
      [pipeline.workers.length > 1 ? 'Workers' : 'Worker', pipeline.workers.join(', ') || '–'],
      [
        'Records',
        (['in', 'out', 'late', 'dead'] as const).map(what => `${resources.totalOf(counts, what)} ${what}`).join(', '),
      ],
      ['Dropped', resources.droppedText(counts)],
      ['As of', status.ageMs === 0 ? '' : `${span(status.ageMs)} ago: what runs it does not answer`],
      ['Letters', letters === 0 ? '' : `see them with: millrace letters list ${pipeline.name}`],
    ]),
  ];
  const eventTime = eventTimeText(pipeline, terminal);
  if (eventTime !== '') parts.push(eventTime);
  if (status.tasks.length > 0) {
    const tasks = status.tasks.map(task => ({ pipeline: pipeline.name, worker: '', status: task, followers: [] }));
    parts.push(table(resources.taskColumns, tasks, { terminal }));
  }
  return parts.join('\n\n');
}

const ROLES: Readonly<Record<resources.Role, string>> = {
  leader: 'leader: it says what runs where, and runs its share',
  worker: 'worker: it runs its share',
  draining: 'draining: what it has goes to others',
  cordoned: 'cordoned: it is given nothing; put it back with: millrace uncordon WORKER',
  silent: 'silent: nobody hears it, and the rest is what it said last',
};

function workerText(terminal: Terminal, worker: WorkerView, tasks: Awaited<ReturnType<AdminClient['tasks']>>): string {
  const text = facts([
    ['Name', worker.name],
    ['Role', ROLES[resources.roleOf(worker)]],
    ['Zone', worker.zone],
    ['Capacity', worker.capacity === 0 ? '0: it stands by' : String(worker.capacity)],
    ['Version', worker.version],
    ['Address', worker.address ?? '–'],
    ['Started', `${time(worker.startedAtMs)}, ${ago(worker.startedAtMs)} ago`],
    ['Seen', `${ago(worker.seenAtMs)} ago`],
    ['Runs', `${count(worker.tasks)} tasks, parts of ${count(worker.pipelines)} pipelines`],
    ['Follows', `${count(worker.follows)} tasks of others`],
  ]);
  return tasks.length === 0
    ? text
    : `${text}\n\n${table(
        resources.tasks.columns.filter(c => c.wide !== true),
        tasks,
        { terminal },
      )}`;
}

function taskText(task: Awaited<ReturnType<AdminClient['task']>>): string {
  const { status } = task;
  return facts([
    ['Name', resources.taskName(task)],
    ['State', status.state],
    ['Worker', task.worker],
    ['Followers', resources.followersText(task)],
    ['Epoch', `${status.epoch}: it has had so many owners`],
    ['Commits', count(status.commits)],
    ['Records', `${count(status.recordsIn)} in, ${count(status.recordsOut)} out`],
    ['Memory', `${bytes(status.stateBytes)} of state in ${count(status.stateEntries)} entries`],
    ['Watermark', time(status.watermarkMs)],
  ]);
}
