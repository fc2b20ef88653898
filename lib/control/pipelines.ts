/**
 * PipelineService: plan, deploy and all that is asked and wished of pipelines. Wishes go into the registry, which any
 * worker can write; how a pipeline is doing everywhere only the one that leads knows.
 */
import { isMillraceError } from '../base/errors.ts';
import type { Bundle } from '../bundle/bundle.ts';
import type { Commands } from '../service/commands.ts';
import type { PipelineView } from '../service/pipelines.ts';
import { every, type Handlers } from './calls.ts';
import { outcomeToWire, pipelineToWire, planToWire } from './messages.ts';
import type { Checks } from './validate.ts';

type Methods =
  | 'PlanPipeline'
  | 'DeployPipeline'
  | 'ListPipelines'
  | 'GetPipeline'
  | 'DescribePipeline'
  | 'WatchPipeline'
  | 'PausePipeline'
  | 'ResumePipeline'
  | 'RestartPipeline'
  | 'AdvanceSource'
  | 'DeletePipeline';

const full = (view: PipelineView) => pipelineToWire(view, { tasks: true });

const named = (checks: Checks, request: { name: string }): void => {
  checks.name(request.name, 'name');
};

export function pipelineHandlers(commands: Commands): Handlers<Methods> {
  return {
    PlanPipeline: {
      check: (checks, { bundle }) => void checks.bundle(bundle),
      answer: async ({ bundle }, _, caller) => planToWire(await commands.as(caller).plan(bundle as Bundle)),
    },
    DeployPipeline: {
      check: (checks, { bundle }) => void checks.bundle(bundle),
      async answer({ bundle, dryRun, takeOver }, _, caller) {
        const { outcome, notices, ...answer } = await commands
          .as(caller)
          .deploy(bundle as Bundle, { dryRun, takeOver });
        return { ...answer, outcome: outcomeToWire(outcome), notices: [...notices] };
      },
    },
    ListPipelines: {
      active: 'or-here',
      async answer(_, __, caller) {
        const pipelines = await commands.as(caller).list();
        return { pipelines: pipelines.map(view => pipelineToWire(view, { tasks: false })) };
      },
    },
    GetPipeline: {
      active: 'or-here',
      check: named,
      answer: async ({ name }, _, caller) => ({ pipeline: full(await commands.as(caller).get(name)) }),
    },
    DescribePipeline: {
      active: 'or-here',
      check: named,
      async answer({ name }, _, caller) {
        const view = await commands.as(caller).get(name);
        return { pipeline: full(view), text: view.spec.text, summaryJson: JSON.stringify(view.spec.summary) };
      },
    },
    WatchPipeline: {
      active: 'or-here',
      check(checks, request) {
        named(checks, request);
        checks.intervalMs(request.intervalMs);
      },
      answer: (request, signal, caller) => watch(commands.as(caller), request, signal),
    },
    PausePipeline: {
      check: named,
      answer: async ({ name }, _, caller) => ({ revision: await commands.as(caller).pause(name) }),
    },
    ResumePipeline: {
      check: named,
      answer: async ({ name }, _, caller) => ({ revision: await commands.as(caller).resume(name) }),
    },
    RestartPipeline: {
      check: named,
      answer: async ({ name }, _, caller) => ({ revision: await commands.as(caller).restart(name) }),
    },
    AdvanceSource: {
      check(checks, request) {
        named(checks, request);
        checks.name(request.source, 'source').eventTime(request.to, 'to');
      },
      async answer({ name, source, to }, _, caller) {
        const { stream, subject, seq } = await commands.as(caller).advance(name, { source, to });
        return { stream, subject, sequence: seq };
      },
    },
    DeletePipeline: {
      check: named,
      async answer({ name, purge, dryRun }, _, caller) {
        const { done, kept, deleted } = await commands.as(caller).delete(name, { purge, dryRun });
        return { done, kept: [...kept], deleted: [...deleted] };
      },
    },
  };
}

/** Ends when the pipeline is gone. Throws NOT_FOUND when it never was there. */
async function* watch(commands: Commands, request: { name: string; intervalMs: number }, signal: AbortSignal) {
  let seen = false;
  try {
    for await (const view of every(request.intervalMs, signal, () => commands.get(request.name))) {
      seen = true;
      yield { pipeline: full(view) };
    }
  } catch (error) {
    if (!seen || !isMillraceError(error, 'NOT_FOUND')) throw error;
  }
}
