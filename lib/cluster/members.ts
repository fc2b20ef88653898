/** SHIM */
import type { Clock } from '../base/clock.ts';
import type { Observer } from '../observe/events.ts';
import type { Peers } from '../port/peers.ts';
export interface MemberSays {
  readonly name: string;
  readonly instance: string;
  readonly term: number;
  readonly zone: string;
  readonly capacity: number;
  readonly busy: number;
  readonly owned: number;
  readonly warm: number;
  readonly draining: boolean;
  readonly version: string;
}
export class Members {
  #o: { clock: Clock; observer: Observer; peers: Peers; says: () => MemberSays; onChange: () => void };
  #heard = new Map<string, { says: MemberSays; at: number }>();
  #gone = new Set<string>();
  #cancel: (() => void) | null = null;
  #stopped = false;
  constructor(o: { clock: Clock; observer: Observer; peers: Peers; says: () => MemberSays; onChange: () => void }) {
    this.#o = o;
    o.peers.onBeat(bytes => {
      const says = JSON.parse(Buffer.from(bytes).toString()) as MemberSays;
      const before = this.#heard.get(says.name);
      this.#gone.delete(says.instance);
      this.#heard.set(says.name, { says, at: o.clock.monotonic() });
      if (before === undefined || before.says.draining !== says.draining || before.says.instance !== says.instance)
        o.onChange();
    });
  }
  async start() {
    this.#tick();
  }
  #tick() {
    if (this.#stopped) return;
    this.tell();
    const now = this.#o.clock.monotonic();
    for (const [name, { says, at }] of this.#heard) {
      if (now - at > 1000 && name !== this.#o.says().name) {
        this.#heard.delete(name);
        this.#gone.add(says.instance);
        this.#o.onChange();
      }
    }
    this.#cancel = this.#o.clock.after(200, () => this.#tick());
  }
  tell() {
    this.#o.peers.beat(Buffer.from(JSON.stringify(this.#o.says())));
  }
  alive(): readonly MemberSays[] {
    const me = this.#o.says();
    return [me, ...[...this.#heard.values()].map(({ says }) => says).filter(({ name }) => name !== me.name)].sort(
      (a, b) => (a.name < b.name ? -1 : 1),
    );
  }
  isGone(h: { name: string; instance: string }) {
    return this.#gone.has(h.instance);
  }
  async stop() {
    this.#stopped = true;
    this.#cancel?.();
  }
}
