/** Who wants to see a task's state: each is answered between two batches, or told that the task has ended. */
import type { MillraceError } from '../base/errors.ts';
import type { Store } from '../port/store.ts';
import type { StateLook } from '../state/look.ts';

export class Looks {
  #look: StateLook;
  #waiting: { show(store: Store): Promise<void>; refuse(): void }[] = [];

  constructor(look: StateLook) {
    this.#look = look;
  }

  get waits(): boolean {
    return this.#waiting.length > 0;
  }

  /** Rejects with what `read` throws, and with `refusal` when looks are refused meanwhile. */
  ask<T>(read: (look: StateLook, store: Store) => Promise<T>, refusal: () => MillraceError): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        show: store => read(this.#look, store).then(resolve, reject),
        refuse: () => reject(refusal()),
      });
    });
  }

  async show(store: Store): Promise<void> {
    for (const look of this.#waiting.splice(0)) await look.show(store);
  }

  refuse(): void {
    for (const look of this.#waiting.splice(0)) look.refuse();
  }
}
