/**
 * `drain`, `uncordon`, `rebalance`: which workers are given work, and what would move between them.
 */
import type { Command } from 'commander';
import { sleep, systemClock } from '../../lib/base/clock.ts';
import type { AdminClient } from '../../lib/control/client.ts';
import type { WorkerView } from '../../lib/service/views.ts';
import { Ended } from '../exit.ts';
import { count, print, printList } from '../output.ts';
import * as resources from '../resources.ts';
import { type Around, asking, formatOf, makeCommand, type Options, printing, withClient } from './common.ts';
import { timeoutOf, waiting } from './deploy.ts';

const LOOK_MS = 250;

export function drainVerb(around: Around): Command {
  const command = makeCommand(
    'drain',
    'Take a worker out of service: what it has moves to the others while it runs on, and it is given nothing until uncordon, also after a restart.',
    ['millrace drain worker-b', 'shows what is left, until nothing is'],
    ['millrace drain worker-b --no-wait'],
    ['millrace uncordon worker-b', 'and back'],
  ).argument('<worker>', 'its name, as get workers lists it');
  return asking(printing(waiting(command, 'it has nothing any more'))).action((name: string, options: Options) =>
    withClient(around, options, async client => {
      const timeoutMs = timeoutOf(options);
      const changed = await client.drain(name);
      const isWaited = options.wait !== false;
      if (isWaited) await untilEmpty(around, client, name, timeoutMs);
      print(around.terminal, formatOf(options).output, { name, changed }, () => {
        const does = isWaited ? 'has nothing any more, and is given nothing' : 'gives what it has to others';
        return `worker ${name} ${does}; to put it back: millrace uncordon ${name}`;
      });
    }),
  );
}

/** Throws Ended: it took too long; NOT_FOUND: it left before it had nothing. */
async function untilEmpty(around: Around, client: AdminClient, name: string, timeoutMs: number): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  let said = '';
  while (true) {
    const workers = await client.workers();
    const worker = workers.find(one => one.name === name) ?? (await client.worker(name));
    if (worker.pipelines === 0) return;
    const left = leftText(worker, workers);
    if (left !== said) around.terminal.err(`${left}\n`);
    said = left;
    if (performance.now() > deadlineMs) {
      throw new Ended(
        'timeout',
        `worker ${name} is not empty yet: ${left}; it goes on, look with: millrace get workers`,
      );
    }
    await sleep(systemClock, LOOK_MS);
  }
}

function leftText({ name, pipelines, tasks, follows }: WorkerView, workers: readonly WorkerView[]): string {
  const heirs = workers.filter(one => one.name !== name && isGiven(one));
  const what = `left on ${name}: ${count(tasks)} tasks, ${count(follows)} copies of others, of ${count(pipelines)} pipelines`;
  return heirs.length > 0 ? what : `${what}; no other worker is there to take them, start one: millrace worker`;
}

function isGiven({ capacity, cordoned, draining, silent }: WorkerView): boolean {
  return capacity > 0 && !cordoned && !draining && !silent;
}

export function uncordonVerb(around: Around): Command {
  const command = makeCommand(
    'uncordon',
    'Put a worker that was drained back into service: it is given its share again.',
    ['millrace uncordon worker-b'],
  ).argument('<worker>', 'its name');
  return asking(printing(command)).action((name: string, options: Options) =>
    withClient(around, options, async client => {
      const changed = await client.uncordon(name);
      const text = changed
        ? `worker ${name} is in service again`
        : `worker ${name} was in service, nothing was changed`;
      print(around.terminal, formatOf(options).output, { name, changed }, () => text);
    }),
  );
}

export function rebalanceVerb(around: Around): Command {
  const command = makeCommand(
    'rebalance',
    'Show what would move between workers as things are, and why. It moves by itself, all the time: nothing has to be asked for.',
    ['millrace rebalance --dry-run'],
  ).option('--dry-run', 'only show it, and do not say that it is done by itself');
  return asking(printing(command, ['table', 'wide', 'json', 'yaml', 'name'])).action((options: Options) =>
    withClient(around, options, async client => {
      const moves = await client.moves();
      if (options.dryRun !== true) {
        around.terminal.err('the worker that leads balances by itself, all the time: nothing has to be asked for\n');
      }
      printList(around.terminal, resources.moves, moves, formatOf(options));
    }),
  );
}
