/** What steps of long work have made, once all are done. */
import type { Step } from '../../../lib/state/segment.ts';

export function made(steps: Iterable<Step>): Uint8Array[] {
  return [...steps].filter(step => step !== null);
}
