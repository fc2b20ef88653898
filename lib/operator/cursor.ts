/** The cursor: what travels beside the record in hand without being passed from call to call. */
import { NO_ORIGIN } from '../record/origin.ts';

export interface Cursor {
  origin: number;
  /** The dedupe id that a `carryId` node computed, or that came with the frame; of a replay that, too (`replay.ts`). */
  id: string | null;
  /** The trace context that it came with (`record/trace.ts`). */
  trace: string | null;
}

export function newCursor(): Cursor {
  return { origin: NO_ORIGIN, id: null, trace: null };
}
