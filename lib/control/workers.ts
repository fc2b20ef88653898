/**
 * WorkerService: which workers there are, which any of them can say, and what runs where and would move, which only the one
 * that leads knows. That a worker is out of service is in the registry, so any may note it.
 */
import type { Commands } from '../service/commands.ts';
import { every, type Handlers } from './calls.ts';
import { moveToWire, taskToWire, workerToWire } from './messages.ts';
import type { Caller } from './roles.ts';
import type { Checks } from './validate.ts';

type Methods =
  | 'ListWorkers'
  | 'GetWorker'
  | 'WatchWorkers'
  | 'DrainWorker'
  | 'UncordonWorker'
  | 'PreviewRebalance'
  | 'ListTasks'
  | 'GetTask'
  | 'WatchTasks';

const PARTITIONS = { min: 0, max: 2 ** 31 - 1 };

function workerNamed(checks: Checks, { name }: { name: string }): void {
  checks.that(name !== '', 'name', 'is missing; give the name of a worker').nameOrAll(name, 'name');
}

export function workerHandlers(commands: Commands): Handlers<Methods> {
  const workers = async () => ({ workers: (await commands.workers()).map(workerToWire) });
  const tasks = async (pipeline: string, caller: Caller) => ({
    tasks: (await commands.as(caller).tasks(pipeline || null)).map(taskToWire),
  });
  return {
    ListWorkers: { answer: workers },
    GetWorker: {
      check: (checks, { name }) => void checks.nameOrAll(name, 'name'),
      answer: async ({ name }) => ({ worker: workerToWire(await commands.worker(name || null)) }),
    },
    WatchWorkers: {
      check: (checks, { intervalMs }) => void checks.intervalMs(intervalMs),
      answer: ({ intervalMs }, signal) => every(intervalMs, signal, workers),
    },
    DrainWorker: {
      check: workerNamed,
      answer: async ({ name }) => ({ changed: await commands.drain(name) }),
    },
    UncordonWorker: {
      check: workerNamed,
      answer: async ({ name }) => ({ changed: await commands.uncordon(name) }),
    },
    PreviewRebalance: {
      active: 'only',
      answer: async (_, __, caller) => ({ moves: commands.as(caller).moves().map(moveToWire) }),
    },
    ListTasks: {
      active: 'only',
      check: (checks, { pipeline }) => void checks.nameOrAll(pipeline, 'pipeline'),
      answer: ({ pipeline }, _, caller) => tasks(pipeline, caller),
    },
    GetTask: {
      active: 'only',
      check: (checks, { pipeline, stage, partition }) =>
        void checks.name(pipeline, 'pipeline').name(stage, 'stage').whole(partition, 'partition', PARTITIONS),
      answer: async (place, _, caller) => ({ task: taskToWire(await commands.as(caller).task(place)) }),
    },
    WatchTasks: {
      active: 'only',
      check: (checks, { pipeline, intervalMs }) => void checks.nameOrAll(pipeline, 'pipeline').intervalMs(intervalMs),
      answer: ({ pipeline, intervalMs }, signal, caller) => every(intervalMs, signal, () => tasks(pipeline, caller)),
    },
  };
}
