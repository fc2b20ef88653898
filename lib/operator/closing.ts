/** How far windows have closed where that takes several batches: nothing changes between them. */
import type { GroupRange } from '../state/entry-key.ts';
import type { Row } from './fold.ts';

/** Keys whose windows have gone out further than the task's others: all of these key groups. */
export interface Further extends GroupRange {
  readonly sentTo: number;
}

/** The window whose keys are going out, over as many batches as it takes: nothing changes between them. */
export interface UnderWay {
  readonly window: number;
  readonly keys: readonly string[];
  /** The first of them that has not gone out. */
  next: number;
  readonly rowsOf: (key: string) => Row[];
}
