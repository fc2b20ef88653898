/**
 * From what an operator is told to do to the operator that does it. Each opens its tables (`tables.ts`) in its
 * constructor, so that state can be restored into them before `resume`.
 */
import { Dedupe } from './dedupe.ts';
import { Join } from './join.ts';
import type { Operator, OperatorContext } from './operator.ts';
import { Process } from './process.ts';
import { SessionAggregate } from './session.ts';
import type { StatefulSpec } from './spec.ts';
import { TableJoin } from './table-join.ts';
import { WindowAggregate } from './window.ts';

export function buildOperator(spec: StatefulSpec, context: OperatorContext): Operator {
  switch (spec.kind) {
    case 'dedupe':
      return new Dedupe(spec, context);
    case 'join':
      return new Join(spec, context);
    case 'window':
      return spec.window.kind === 'session'
        ? new SessionAggregate(spec, spec.window.gapMs, context)
        : new WindowAggregate(spec, spec.window, context);
    case 'tableJoin':
      return new TableJoin(spec, context);
    case 'process':
      return new Process(spec, context);
  }
}
