/**
 * The engine over its lives, as the host has it: orders and questions go to the life that is there, and say why there is none
 * while there is none. Whoever makes lives (`host/engine-thread.ts`, with threads) extends this and says when one begins, is
 * ready, and is lost.
 */
import { MillraceError } from '../base/errors.ts';
import type { Engine, EngineOrder, RunningPipeline } from './engine.ts';
import type { HostEnd } from './host-end.ts';

export abstract class EngineLives implements Engine {
  #end: HostEnd | null = null;
  #trouble: string | null = 'the engine is starting';
  #changed: () => void = () => {};

  get trouble(): string | null {
    return this.#trouble;
  }

  get stall(): string | null {
    return this.#end?.stall ?? null;
  }

  troubleOf(): string | null {
    return this.trouble;
  }

  stallOf(): string | null {
    return this.stall;
  }

  onTrouble(changed: () => void): void {
    this.#changed = changed;
  }

  start(order: EngineOrder): Promise<RunningPipeline> {
    if (this.#end !== null && this.#trouble === null) return this.#end.start(order);
    return Promise.reject(new MillraceError('ENGINE_LOST', this.#trouble ?? 'the engine has ended'));
  }

  /** A life begins; it takes orders when it is ready. */
  protected began(end: HostEnd): void {
    this.#end = end;
  }

  protected ready(): void {
    this.#setTrouble(null);
  }

  /** The life is over, and another will begin. */
  protected lost(why: string): void {
    const end = this.#take();
    this.#setTrouble(why);
    end?.lose(why);
  }

  /** The life is over, and was the last. */
  protected ended(why: string): void {
    this.#take()?.lose(why);
  }

  #take(): HostEnd | null {
    const end = this.#end;
    this.#end = null;
    return end;
  }

  #setTrouble(trouble: string | null): void {
    this.#trouble = trouble;
    this.#changed();
  }
}
