/** SHIM */
import type { Clock } from '../../lib/base/clock.ts';
import type { Random } from '../../lib/base/random.ts';
import type { Peers } from '../../lib/port/peers.ts';

export class Bus {
  readonly ends: ShimPeers[] = [];
}

export class ShimPeers implements Peers {
  connected = true;
  heard: (bytes: Uint8Array) => void = () => {};
  handler: ((bytes: Uint8Array) => Promise<Uint8Array>) | null = null;
  readonly bus: Bus;
  readonly o: { name: string; clock: Clock & { dead: boolean; frozen: boolean }; world: Clock; random: Random };
  constructor(bus: Bus, o: ShimPeers['o']) {
    this.bus = bus;
    this.o = o;
    bus.ends.push(this);
  }
  beat(bytes: Uint8Array) {
    for (const end of this.bus.ends) {
      if (!this.connected || !end.connected || end.o.clock.dead) continue;
      this.o.world.after(this.o.random.next() * 5, () => end.o.clock.soon(() => end.heard(bytes)));
    }
  }
  onBeat(heard: (bytes: Uint8Array) => void) {
    this.heard = heard;
  }
  ask(member: string, bytes: Uint8Array, timeoutMs: number): Promise<Uint8Array | 'nobody' | 'silent'> {
    const end = this.bus.ends.find(one => one.o.name === member && !one.o.clock.dead && one.connected && one.handler);
    return new Promise(resolve => {
      this.o.clock.after(timeoutMs, () => resolve('silent'));
      if (!this.connected) return;
      if (end === undefined) return void this.o.clock.after(3, () => resolve('nobody'));
      this.o.world.after(this.o.random.next() * 5, () =>
        end.o.clock.soon(() => {
          void end.handler!(bytes).then(answer => {
            if (end.connected && !end.o.clock.dead) this.o.clock.after(this.o.random.next() * 5, () => resolve(answer));
          });
        }),
      );
    });
  }
  answer(handler: (bytes: Uint8Array) => Promise<Uint8Array>) {
    this.handler = handler;
  }
}
