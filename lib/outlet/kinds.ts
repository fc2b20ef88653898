/** The kinds of sinks that a plan may have, and what each one's outlets are made from. */
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { Log } from '../port/log.ts';
import { natsOutlets } from './nats/kind.ts';
import type { OutletKinds } from './outlet.ts';
import type { SinkSpec } from './sink-spec.ts';

/** The ways out of one pipeline in one worker. */
export function outletKinds(ports: { log: Log; clock: Clock; random: Random }): OutletKinds {
  return { nats: natsOutlets(ports) } satisfies Record<SinkSpec['kind'], unknown>;
}
