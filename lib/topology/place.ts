/**
 * Places: where in the user's code something was said, so that a mistake can point there. Read from a stack trace at
 * the moment of the call: no transform of the user's code, and right wherever the runtime maps its sources.
 */
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const OWN_FOLDER = fileURLToPath(new URL('.', import.meta.url));
const FRAME = /\(?((?:file:\/\/)?\/[^()]*?):(\d+):(\d+)\)?$/;
const FRAMES_MAX = 30;

/** `file:line:column` of the nearest caller outside this folder, relative to the working directory; null: unknown. */
export function callPlace(): string | null {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES_MAX;
  const stack = new Error().stack ?? '';
  Error.stackTraceLimit = before;
  for (const line of stack.split('\n').slice(1)) {
    const frame = FRAME.exec(line);
    if (frame === null) continue;
    const file = pathOf(frame[1] as string);
    if (file.startsWith(OWN_FOLDER)) continue;
    const near = relative(process.cwd(), file);
    return `${near.startsWith('..') ? file : near}:${frame[2]}:${frame[3]}`;
  }
  return null;
}

function pathOf(file: string): string {
  return file.startsWith('file://') ? fileURLToPath(file.replace(/\?.*$/, '')) : file;
}
