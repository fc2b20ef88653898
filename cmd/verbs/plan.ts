/**
 * `plan`: what a file would become, what would change of what is deployed, and whether a deploy would be accepted, which
 * the exit code says, too. Of a worker, or of its broker alone (`--nats`), or of nobody (`--offline`).
 */
import type { Command } from 'commander';
import { isMillraceError, MillraceError } from '../../lib/base/errors.ts';
import type { Bundle } from '../../lib/bundle/bundle.ts';
import type { Judged } from '../../lib/bundle/compile.ts';
import type { PlanAnswer } from '../../lib/service/plan.ts';
import { type Environment, environmentFor, natsOptions, settle } from '../config.ts';
import { Ended, type Ending, EXIT_CODES } from '../exit.ts';
import { print } from '../output.ts';
import { NATS_SETTINGS } from '../settings.ts';
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

export function planVerb(around: Around): Command {
  const command = makeCommand(
    'plan',
    'Show what a pipeline would become, what would change, and whether a deploy would be accepted. Changes nothing.',
    ['millrace plan src/pipeline.ts', 'exit code 4 where a deploy would be refused'],
    ['millrace plan src/pipeline.ts --nats nats://127.0.0.1:4222', 'without any worker'],
    ['millrace plan src/pipeline.ts --offline', 'without any broker: the mistakes of the file alone'],
    ['millrace plan src/pipeline.ts -o json'],
  )
    .argument('<file>', 'the pipeline, e.g. src/pipeline.ts')
    .addOption(settingOption('nats', 'ask this broker what is there, without any worker'))
    .option('--offline', 'ask nobody: streams are taken to be as the pipeline needs them');
  return asking(printing(command)).action(async (file: string, options: Options) => {
    if (options.offline === true && options.nats !== undefined) {
      throw new MillraceError('INVALID_ARGUMENT', '--offline asks nobody, and --nats asks a broker; give one of them');
    }
    const bundle = await bundled(file);
    const { output } = formatOf(options);
    const tell = (answer: PlanAnswer) => {
      const { summary, ...rest } = answer;
      print(around.terminal, output, { ...rest, summary }, () => planText(answer));
      around.exit(EXIT_CODES[endingOfPlan(answer)].code);
    };
    const tellOffline = async (why: string) => {
      const judged = await planOffline(bundle);
      const { pipeline: name, fingerprint } = judged.summary;
      print(around.terminal, output, { name, ...judged, fingerprint }, () => `${judged.text}\n\n${offlineText(why)}`);
    };
    if (options.offline === true) return tellOffline('--offline');
    if (options.nats !== undefined) return tell(await planAtBroker(bundle, options));
    try {
      await withClient(around, options, async client => tell(await client.plan(bundle)));
    } catch (error) {
      if (!isMillraceError(error, 'WORKER_UNAVAILABLE')) throw error;
      await tellOffline('no worker answers');
      throw new Ended('unreachable', `${error.message}; or ask its broker: millrace plan ${file} --nats URL`);
    }
  });
}

/** What a deploy would end with. */
export function endingOfPlan({ incompatibilities, refusals }: PlanAnswer): Ending {
  return incompatibilities.length + refusals.length > 0 ? 'refused' : 'done';
}

/** For people: the plan, what would change, and the verdict last. */
export function planText(answer: PlanAnswer): string {
  const { name, text, outcome, incompatibilities, refusals, notices, deployed, differences } = answer;
  const parts = [text];
  if (deployed !== '' && outcome !== 'unchanged') {
    parts.push([`against ${deployed}`, ...differences.map(line => `  ${line}`)].join('\n'));
  }
  if (notices.length > 0) parts.push(notices.join('\n'));
  const reasons = [...incompatibilities, ...refusals];
  if (reasons.length === 0) parts.push(ACCEPTED[outcome]);
  else {
    const verdict = ['a deploy would be refused:', ...reasons.map(reason => `  - ${reason}`)];
    if (incompatibilities.length > 0) {
      verdict.push(`to begin anew, without the state there is: millrace delete ${name} --purge, then deploy`);
    }
    parts.push(verdict.join('\n'));
  }
  return parts.join('\n\n');
}

const ACCEPTED: Readonly<Record<PlanAnswer['outcome'], string>> = {
  created: 'a deploy would create it',
  updated: 'a deploy would update it, and it goes on from its state',
  unchanged: 'this very bundle is deployed already',
  resumed: 'a deploy would go on from the state that a deleted pipeline of this name has left',
  incompatible: 'a deploy would be refused',
};

function offlineText(why: string): string {
  return (
    `not checked (${why}): whether the streams are there and fit (their names are assumed), what is deployed under this ` +
    'name and whether its state can be read, and who else writes to these subjects'
  );
}

async function planAtBroker(bundle: Bundle, options: Options): Promise<PlanAnswer> {
  const { planAtBroker } = await import('../plan-alone.ts');
  const settings = settle([...NATS_SETTINGS, 'bucket'], { flags: flagsOf(NATS_SETTINGS, options) });
  return planAtBroker(bundle, { nats: natsOptions(settings, 'millrace plan'), bucket: settings.bucket, ...limits() });
}

async function planOffline(bundle: Bundle): Promise<Judged> {
  const { planOffline } = await import('../plan-alone.ts');
  return planOffline(bundle, limits());
}

export function limits(): { readonly limitMs: number; readonly env: Environment } {
  const { stuckSeconds, env } = settle(['stuckSeconds', 'env']);
  return { limitMs: stuckSeconds * 1_000, env: environmentFor(env ?? []) };
}
