/**
 * The commands that ask a worker's API: plan, deploy, get, describe, restart, delete. Each builds a request, calls the
 * client and prints the answer.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { MillraceError } from '../lib/base/errors.ts';
import { AdminClient, type PipelineInfo } from '../lib/control/client.ts';
import { connectNats } from '../lib/nats/connection.ts';
import { NatsLog } from '../lib/nats/log.ts';
import { bundlePipeline } from '../lib/worker/bundle.ts';
import { pipelineCompiler } from '../lib/worker/compile.ts';
import type { Environment } from './config.ts';
import { bytes, count, lagOf, type OutputFormat, optional, print, span, table, time, watermarkOf } from './output.ts';

interface Asking {
  readonly server: string;
  readonly output: OutputFormat;
}

async function withClient<T>(server: string, use: (client: AdminClient) => Promise<T>): Promise<T> {
  const client = new AdminClient({ address: server });
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/** @param options.nats plan against this broker without any worker; null: ask the worker. */
export async function planCommand(
  file: string,
  options: Asking & { nats: string | null; environment: Environment },
): Promise<void> {
  const bundle = await bundlePipeline(file);
  if (options.nats !== null) {
    const planned = await planAlone(bundle, options.nats, options.environment);
    print(options.output, planned.summary, () => planned.text);
    return;
  }
  await withClient(options.server, async client => {
    const answer = await client.plan(bundle);
    print(options.output, answer, () => {
      const deploy = {
        created: 'a deploy would create it',
        updated: 'a deploy would update the running pipeline, which goes on from its state',
        unchanged: 'this very bundle is deployed already',
        resumed: 'a deploy would go on from the state that a deleted pipeline of this name has left',
        incompatible: `a deploy would be refused:\n${answer.incompatibilities.map(reason => `  - ${reason}`).join('\n')}`,
      }[answer.outcome];
      return `${answer.text}\n\n${deploy}`;
    });
  });
}

async function planAlone(bundle: Awaited<ReturnType<typeof bundlePipeline>>, nats: string, environment: Environment) {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-plan-'));
  try {
    const link = await connectNats({ ...environment.login, servers: nats.split(','), name: 'millrace plan' });
    try {
      return await pipelineCompiler({ log: new NatsLog(link), dir }).plan(bundle);
    } finally {
      await link.close();
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

export async function deployCommand(file: string, options: Asking & { dryRun: boolean }): Promise<void> {
  const bundle = await bundlePipeline(file);
  await withClient(options.server, async client => {
    const answer = await client.deploy(bundle, { dryRun: options.dryRun });
    print(options.output, answer, () => {
      const done = `pipeline ${answer.name} ${answer.outcome} (revision ${answer.revision})`;
      return options.dryRun ? `${done}: dry run, nothing was changed` : done;
    });
  });
}

export async function getCommand(name: string | undefined, options: Asking): Promise<void> {
  await withClient(options.server, async client => {
    const pipelines = name === undefined ? await client.list() : [await client.get(name)];
    print(options.output, name === undefined ? pipelines : pipelines[0], () =>
      pipelines.length === 0 ? 'no pipelines; deploy one with: millrace deploy FILE' : pipelineTable(pipelines),
    );
  });
}

function pipelineTable(pipelines: readonly PipelineInfo[]): string {
  return table(
    ['NAME', 'STATE', '>REVISION', '>IN', '>OUT', '>LATE', '>DEAD', '>LAG', 'WATERMARK', 'WORKER', '>AGE'],
    pipelines.map(pipeline => {
      const { counts } = pipeline.status;
      return [
        pipeline.name,
        pipeline.deleting ? 'deleting' : pipeline.status.state,
        String(pipeline.revision),
        count(counts.in),
        count(counts.out),
        count(counts.late),
        count(counts.dead),
        optional(lagOf(pipeline), count),
        time(watermarkOf(pipeline)),
        pipeline.worker ?? '–',
        span(Date.now() - pipeline.deployedAtMs),
      ];
    }),
  );
}

export async function describeCommand(name: string, options: Asking): Promise<void> {
  await withClient(options.server, async client => {
    const { pipeline, text, summary } = await client.describe(name);
    print(options.output, { ...pipeline, plan: summary }, () => `${statusText(pipeline)}\n\n${text}`);
  });
}

function statusText(pipeline: PipelineInfo): string {
  const { status } = pipeline;
  const { counts } = status;
  const dropped = Object.entries(counts.dropped).map(([reason, amount]) => `${count(amount)} ${reason}`);
  const facts: [string, string][] = [
    ['Name', pipeline.name],
    ['State', pipeline.deleting ? 'deleting' : status.state],
    ['Reason', status.reason ?? ''],
    ['Revision', `${pipeline.revision}, deployed ${time(pipeline.deployedAtMs)} from ${pipeline.file}`],
    ['Bundle', pipeline.bundleHash.slice(0, 12)],
    ['Worker', pipeline.worker ?? '–'],
    [
      'Records',
      `${count(counts.in)} in, ${count(counts.out)} out, ${count(counts.late)} late, ${count(counts.dead)} dead`,
    ],
    ['Dropped', dropped.join(', ')],
  ];
  const parts = [
    facts
      .filter(([, fact]) => fact !== '')
      .map(([title, fact]) => `${`${title}:`.padEnd(10)}${fact}`)
      .join('\n'),
  ];
  if (status.readers.length > 0) {
    const rows = status.readers.map(reader => [
      reader.name,
      count(reader.position),
      optional(reader.lag, count),
      count(reader.recordsIn),
      time(reader.watermarkMs),
      reader.idle ? 'idle' : '',
    ]);
    parts.push(table(['READER', '>POSITION', '>LAG', '>RECORDS', 'WATERMARK', ''], rows));
  }
  if (status.tasks.length > 0) {
    const rows = status.tasks.map(task => [
      `${task.stage}/${task.partition}`,
      task.state,
      String(task.epoch),
      count(task.commits),
      count(task.recordsIn),
      count(task.recordsOut),
      bytes(task.stateBytes),
      count(task.stateEntries),
      time(task.watermarkMs),
    ]);
    const heads = ['TASK', 'STATE', '>EPOCH', '>COMMITS', '>IN', '>OUT', '>STATE SIZE', '>ENTRIES', 'WATERMARK'];
    parts.push(table(heads, rows));
  }
  return parts.join('\n\n');
}

export async function restartCommand(name: string, options: Asking): Promise<void> {
  await withClient(options.server, async client => {
    const revision = await client.restart(name);
    print(options.output, { name, revision }, () => `pipeline ${name} restarts (revision ${revision})`);
  });
}

export async function deleteCommand(name: string, options: Asking & { purge: boolean; yes: boolean }): Promise<void> {
  if (!options.yes) await confirm(name, options.purge);
  await withClient(options.server, async client => {
    const answer = await client.delete(name, { purge: options.purge });
    print(options.output, { name, ...answer }, () => {
      if (!answer.done) {
        return `pipeline ${name} will be deleted as soon as a worker can do it; look again with: millrace get ${name}`;
      }
      const lines = [`pipeline ${name} is deleted`];
      if (answer.deleted.length > 0) lines.push('deleted:', ...answer.deleted.map(line => `  - ${line}`));
      if (answer.kept.length > 0) lines.push('kept:', ...answer.kept.map(line => `  - ${line}`));
      if (!options.purge)
        lines.push(`a later deploy goes on from its state; to drop that: millrace delete ${name} --purge`);
      return lines.join('\n');
    });
  });
}

async function confirm(name: string, purge: boolean): Promise<void> {
  const what = purge
    ? `stop pipeline ${name} and delete its state for good`
    : `stop pipeline ${name}; its state is kept`;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new MillraceError('INVALID_ARGUMENT', `this would ${what}; confirm with --yes`);
  }
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await asking.question(`This will ${what}. Go on? [y/N] `);
  asking.close();
  if (!/^y(es)?$/i.test(answer.trim()))
    throw new MillraceError('INVALID_ARGUMENT', 'not confirmed; nothing was changed');
}
