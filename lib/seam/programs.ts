/**
 * Programs of a pipeline that is started: what runs now, and what ran before it, which is loaded only when somebody was
 * killed in the middle of sending what it had made.
 */
import { BEGIN_ANEW, isMillraceError, MillraceError } from '../base/errors.ts';
import type { Programs } from '../task/surroundings.ts';
import type { Plan } from '../topology/plan.ts';
import type { StartOrder } from './messages.ts';

/** @param planOf loads the bundle of that hash */
export function programsOf(
  { pipeline, program, bundle }: Pick<StartOrder, 'pipeline' | 'program' | 'bundle'>,
  planOf: (bundle: string) => Promise<Plan>,
): Programs {
  return {
    present: { since: program, bundle },
    async planOf({ since, bundle: former }) {
      try {
        if (former === '') throw new MillraceError('NOT_FOUND', 'which it was is not known');
        return await planOf(former);
      } catch (cause) {
        if (!isMillraceError(cause) || cause.fate === 'retry' || cause.fate === 'fatal') throw cause;
        throw new MillraceError(
          'PROGRAM_MISSING',
          `pipeline ${pipeline} was killed while it sent what the code of revision ${since} had made of its input, and only that ` +
            `code can send the rest. It cannot be loaded: ${cause.message}. Deploy that code again, and then this; or ${BEGIN_ANEW}`,
          { cause },
        );
      }
    },
  };
}
