/**
 * What is said of functions that do not return, and of what is done about it.
 */
import { LOADING, type Site, type Suspect } from '../operator/call-watch.ts';
import { NO_ORIGIN, seqOfOrigin } from '../record/origin.ts';

/** For a person, in the middle of a sentence. */
export function whatStuck(suspect: Suspect | null, after: Site | null): string {
  if (suspect === null)
    return after === null ? 'something in the engine' : `something in the engine, ${behind(after)},`;
  if (suspect.operator === LOADING) return `the bundle ${suspect.pipeline.slice(0, 12)}`;
  return `a function of ${suspect.operator} of pipeline ${suspect.pipeline}`;
}

function behind({ operator, pipeline }: Site): string {
  return `after a function of ${operator} of pipeline ${pipeline}`;
}

/** Fields of the event that says so. */
export function stuckFields({ suspect, after }: { suspect: Suspect | null; after: Site | null }, stuckMs: number) {
  if (suspect === null) {
    if (after === null) return { message: 'the engine did nothing for too long; it is started anew' };
    const { pipeline, operator } = after;
    return { pipeline, operator, message: `the engine did nothing for too long, ${behind(after)}; it is started anew` };
  }
  const { pipeline, operator, origin } = suspect;
  const seconds = stuckMs / 1_000;
  if (operator === LOADING) {
    return { message: `the bundle ${pipeline.slice(0, 12)} did not load in ${seconds} s; it is refused from now on` };
  }
  if (origin === NO_ORIGIN) {
    return { pipeline, operator, message: `its functions did not return for ${seconds} s; the engine is started anew` };
  }
  const sequence = seqOfOrigin(origin);
  const message = `its functions did not return for ${seconds} s; the engine is started anew, and the record becomes a dead letter`;
  return { pipeline, operator, sequence, message };
}
