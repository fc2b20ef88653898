/** Waiting for a reader of a log, for whoever reads a stream to its end. */
import type { Clock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { LogReader } from './log.ts';

/** Waits until the reader may have something. Throws BROKER_UNAVAILABLE, with `silent` as its text, after `patienceMs`. */
export function ready(
  reader: Pick<LogReader, 'onReady'>,
  { clock, patienceMs, silent }: { readonly clock: Clock; readonly patienceMs: number; readonly silent: string },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(patienceMs, () => {
      reader.onReady = null;
      reject(new MillraceError('BROKER_UNAVAILABLE', silent));
    });
    reader.onReady = () => {
      reader.onReady = null;
      cancel();
      resolve();
    };
  });
}
