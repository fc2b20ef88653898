/** How many letters a pipeline keeps, as its author says it. What holds them to it is `engine/letter-keeper.ts`. */
import type { Duration } from '../base/duration.ts';
import type { Graph } from './graph.ts';
import { DURATION, type Fit, judged } from './options.ts';
import type { LetterLimits } from './plan.ts';

const LETTERS = {
  maxAge: DURATION,
  maxBytes: { be: 'a number of bytes', is: value => typeof value === 'number' },
} satisfies Record<string, Fit>;

const AGE_MS = 30 * 24 * 3_600_000;
const BYTES = 1 << 30;
/** Who writes letters may look at those that he wrote a moment ago (`outlet/nats/shared-outlet.ts`). */
const AGE_MS_MIN = 60_000;
const BYTES_MIN = 1 << 20;

export function lettersDraft(
  graph: Graph,
  given: { readonly maxBytes?: number; readonly maxAge?: Duration },
): LetterLimits {
  const { maxAge = AGE_MS, maxBytes = BYTES } = judged(graph, 'letters', given, LETTERS);
  const maxAgeMs = graph.length(maxAge, 'letters.maxAge');
  if (!Number.isSafeInteger(maxBytes) || maxBytes < BYTES_MIN) {
    graph.note(`letters.maxBytes is ${maxBytes}: take a whole number of bytes, ${BYTES_MIN} or more`);
  }
  if (maxAgeMs < AGE_MS_MIN) graph.note('letters.maxAge is too short: take a minute or more');
  return { maxAgeMs, maxBytes };
}
