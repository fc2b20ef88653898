/** What steps of long work have made, once all are done. */
import type { SegmentOrPause } from '../../../lib/state/segment.ts';

export function made(steps: Iterable<SegmentOrPause>): Uint8Array[] {
  return [...steps].filter(step => step !== null);
}
