/**
 * `permissions`: what users of NATS must be permitted so that pipelines run and are used, as configuration of its server. Of
 * what is deployed, or of files before they are.
 */
import type { Command } from 'commander';
import { MillraceError } from '../../lib/base/errors.ts';
import type { AdminClient } from '../../lib/control/client.ts';
import { type PlanSummary, readSummary } from '../../lib/topology/summary.ts';
import { settle } from '../config.ts';
import { print } from '../output.ts';
import { rolesFor, serverConfig } from '../permissions.ts';
import {
  type Around,
  asking,
  bundled,
  flagsOf,
  formatOf,
  makeCommand,
  type Options,
  printing,
  settingOption,
  withClient,
} from './common.ts';
import { limits } from './plan.ts';

/** A stream that is there may be called otherwise. */
const ASSUMED = 'not checked: what streams are called, for no broker was asked; ask again when it is deployed';
const SCOPE = ['bucket', 'natsInboxPrefix'] as const;

export function permissionsVerb(around: Around): Command {
  const command = makeCommand(
    'permissions',
    'Print what users of NATS must be permitted, for the worker and for each other role; nothing else is needed.',
    ['millrace permissions', 'for all that is deployed'],
    ['millrace permissions orders hires'],
    ['millrace permissions src/pipeline.ts', 'of a file, without worker and broker'],
    ['millrace permissions --worker', 'for a worker that runs nothing yet'],
    ['millrace permissions -o json'],
  )
    .argument('[pipeline...]', 'pipelines that are deployed, or files')
    .option('--worker', 'for a worker alone, whatever its pipelines are called');
  for (const name of SCOPE) command.addOption(settingOption(name));
  return asking(printing(command)).action(async (named: readonly string[], options: Options) => {
    const { bucket, natsInboxPrefix: inboxPrefix } = settle(SCOPE, { flags: flagsOf(SCOPE, options) });
    if (options.worker === true && named.length > 0) {
      throw new MillraceError('INVALID_ARGUMENT', '--worker is for no pipeline in particular; give one or the other');
    }
    const roles = rolesFor(await plansOf(), { bucket, inboxPrefix });
    print(around.terminal, formatOf(options).output, roles, () => serverConfig(roles));

    async function plansOf(): Promise<PlanSummary[]> {
      if (options.worker === true) return [];
      const files = named.filter(isFile);
      const names = named.filter(name => !isFile(name));
      const plans = await Promise.all(files.map(planOf));
      if (files.length > 0) around.terminal.err(`${ASSUMED}\n`);
      if (names.length === 0 && files.length > 0) return plans;
      return withClient(around, options, async client => [...plans, ...(await deployed(client, names))]);
    }
  });
}

/** No pipeline's name has such characters. */
function isFile(name: string): boolean {
  return /[./\\]/.test(name);
}

/** Streams are called what they would be where none is there yet. */
async function planOf(file: string): Promise<PlanSummary> {
  const { planOffline } = await import('../plan-alone.ts');
  return (await planOffline(await bundled(file), limits())).summary;
}

/** @param names empty: all. */
async function deployed(client: AdminClient, names: readonly string[]): Promise<PlanSummary[]> {
  const wanted = names.length > 0 ? names : (await client.list()).map(({ name }) => name);
  if (wanted.length === 0) {
    const text =
      'nothing is deployed; name the files of pipelines, or give --worker for a worker that runs nothing yet';
    throw new MillraceError('NOT_FOUND', text);
  }
  const plans: PlanSummary[] = [];
  for (const name of wanted) {
    const plan = readSummary((await client.describe(name)).summary);
    if (plan === null) {
      const text = `the plan of ${name} was stored by another version; deploy it again, or name its file`;
      throw new MillraceError('PLAN_INCOMPATIBLE', text);
    }
    plans.push(plan);
  }
  return plans;
}
