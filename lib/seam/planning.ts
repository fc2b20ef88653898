/**
 * Planning a bundle, as the thread does it that lives for this one plan. It has no connection: what the planner must know of
 * streams it asks through its port, one question at a time. Whoever started the thread watches its time and its memory.
 */
import type { Bundle } from '../bundle/bundle.ts';
import { bundlePlanner, judgedOf } from '../bundle/compile.ts';
import { bindLibrary } from '../bundle/load.ts';
import type { StreamInfo } from '../port/log.ts';
import { heardError, tellError } from './errors.ts';
import type { BrokerAnswer, BrokerQuestion, FromPlanning, Port, ToPlanning } from './messages.ts';

export interface PlanningOptions {
  readonly port: Port<FromPlanning>;
  readonly bundle: Bundle;
  /** Folder for bundles that are being loaded. */
  readonly dir: string;
  /** False: nobody is asked, and streams are taken to be as the pipeline needs them. */
  readonly asks: boolean;
  /** Variables that the code is given; null: nobody knows, and it may need any. */
  readonly given: readonly string[] | null;
  /** Resolves with the next message that comes. */
  next(): Promise<ToPlanning>;
}

/** Says what came of it; never rejects. */
export async function planBundle({ port, bundle, dir, asks, given, next }: PlanningOptions): Promise<void> {
  const ask = async (question: BrokerQuestion): Promise<BrokerAnswer> => {
    port.postMessage({ kind: 'ask', question });
    const answer = await next();
    if ('error' in answer) throw heardError(answer.error);
    return answer.value as BrokerAnswer;
  };
  const broker = {
    streamsOf: async (subject: string) => (await ask({ what: 'streamsOf', subject })) as string[],
    info: async (stream: string) => (await ask({ what: 'info', stream })) as StreamInfo | null,
  };
  await bindLibrary();
  port.postMessage({ kind: 'begun' });
  try {
    port.postMessage({
      kind: 'planned',
      ...judgedOf(await bundlePlanner({ broker: asks ? broker : null, dir, given })(bundle)),
    });
  } catch (error) {
    port.postMessage({ kind: 'failed', error: tellError(error) });
  }
}
