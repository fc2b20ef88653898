/**
 * Places: where in the author's own files something has happened. Bundles name their sources below one root that nothing
 * else is named by (`bundle.ts` writes it, the runtime maps stack frames to it), so the author's frames are told from all
 * others by their names, and what is shown is the same on every machine.
 */
import { messageOf } from './errors.ts';

/** The root of the author's project, in stack traces. */
export const PROJECT_ROOT = 'pipeline:///';

const FRAME = /pipeline:\/\/\/([^()\s][^()]*?:\d+:\d+)\)?$/;

/**
 * `file:line:column` of the innermost call in the author's own files, relative to the project; null: none is known. Packages
 * that the author imports are not meant. Slow: the stack is written and mapped here.
 */
export function placeOf(error: unknown): string | null {
  const stack = stackOf(error);
  if (typeof stack !== 'string' || !stack.includes(PROJECT_ROOT)) return null;
  for (const line of stack.split('\n')) {
    const place = FRAME.exec(line)?.[1];
    if (place !== undefined && !place.includes('node_modules/')) return place;
  }
  return null;
}

/**
 * It was thrown in the author's own files, or by the runtime on behalf of nobody else. True, too, of what has no stack:
 * all that we throw has one.
 */
export function isAuthors(error: unknown): boolean {
  const stack = stackOf(error);
  if (typeof stack !== 'string') return true;
  const frames = stack.split('\n').filter(line => /^\s+at /.test(line));
  const innermost = frames.find(line => !/[ (](?:node:|native|<anonymous>)/.test(line));
  return innermost === undefined || innermost.includes(PROJECT_ROOT);
}

/** User code may throw what throws again when it is looked at. */
function stackOf(error: unknown): unknown {
  try {
    return error instanceof Error ? error.stack : undefined;
  } catch {
    return undefined;
  }
}

/** The text of what user code threw, after the place that it was thrown at: `src/orders.ts:12:7: there is no price`. */
export function placedMessageOf(error: unknown): string {
  const place = placeOf(error);
  return place === null ? messageOf(error) : `${place}: ${messageOf(error)}`;
}
