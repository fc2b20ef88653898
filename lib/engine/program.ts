/** What a reader has of its program: where its records go, the inputs of stages; and which programs there are where nobody says. */
import { MillraceError } from '../base/errors.ts';
import type { Route } from '../router/lane.ts';
import type { Programs } from '../task/surroundings.ts';
import type { Plan, ReaderPlan } from '../topology/plan.ts';

export function routesOf(plan: Plan, reader: ReaderPlan): Route[] {
  return reader.program.exits.map(exit => {
    if (exit.kind === 'sink') throw new MillraceError('INVARIANT', `reader ${reader.name} leads to a sink`);
    const { partitions, inputs } = plan.stages.find(stage => stage.name === exit.stage)!;
    const { bootstrap } = inputs.find(({ name }) => name === exit.input)!;
    return { stage: exit.stage, input: exit.input, bootstrap, partitions };
  });
}

export function isSame({ stage, input }: Route): (other: Route) => boolean {
  return other => other.stage === stage && other.input === input;
}

/** No former one. */
export const ONE_PROGRAM: Programs = {
  present: { since: 1, bundle: '' },
  async planOf({ since }) {
    throw new MillraceError('PROGRAM_MISSING', `nothing is kept of the code of revision ${since}`);
  },
};
