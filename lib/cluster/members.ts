/**
 * Who is there. Owns this member's beats, its ear for those of the others, and the questions to whoever misses one. What
 * follows from what was heard is `roster.ts`'s, and what is thought of it `standing.ts`'s. Nothing of safety rests on any of
 * it: who is called gone and is not costs time, never a row.
 *
 * - *own time*: silence counts only while this process could have heard. What its own loop is late is no silence of others,
 *   so who is slow himself is patient; and who has heard nobody at all, himself included (the broker sends him his own
 *   beats), is *isolated*: he calls nobody gone, and begins anew when he hears again
 * - whoever has only just dialled, or hears again, believes no *nobody* for two seconds: after a restart of the broker all
 *   dial anew, and the first who is back finds nobody
 *
 * It must not run where user code does, or a slow function is a dead member.
 */
import type { Clock } from '../base/clock.ts';
import type { Peers } from '../port/peers.ts';
import { type Member, type MemberChange, Roster } from './roster.ts';
import { type MemberSays, readSays, writeSays } from './says.ts';
import { BEAT_MS, type Patience, type Verdict } from './standing.ts';

/** Beside what changes of members: this one hears nobody any more, or hears again. */
export type Change = MemberChange | { readonly kind: 'isolated' | 'connected' };

export interface MembersOptions {
  readonly clock: Clock;
  readonly peers: Peers;
  /** What this member says of itself; asked for each beat. */
  readonly says: () => MemberSays;
  readonly patience?: Patience;
}

const PATIENCE: Patience = { returnPatienceMs: 30_000, steadyMs: 10_000 };
const TICK_MS = BEAT_MS / 4;
/** Timers are this late at any time. */
const LATE_MS = 20;
/** Short: what was on its way to a process that ended is never answered. */
const ANSWER_MS = 100;
/** When nobody answers. */
const ASK_AGAIN_MS = 20;
/** Two beats, and one that is late. */
const ISOLATED_MS = 500;
const REDIAL_MS = 2_000;
const QUESTION = Buffer.from('are you there?');

export class Members {
  /** Beats and answers that no member can have said. */
  strays = 0;
  readonly #options: MembersOptions;
  readonly #roster: Roster;
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #asked = new Set<string>();
  #isolated = true;
  /** When anybody was heard. */
  #heardAtMs = 0;
  /** From then on *nobody* is believed. */
  #believesAtMs = 0;
  #connections = 0;
  #beatAtMs = 0;
  #dueMs = 0;
  #isUp = false;
  #cancel: (() => void) | null = null;
  #ends: readonly (() => void)[] = [];

  constructor(options: MembersOptions) {
    this.#options = options;
    this.#roster = new Roster(options.patience ?? PATIENCE, change => this.#tell(change));
  }

  /** Nobody is heard, oneself included. */
  get isolated(): boolean {
    return this.#isolated;
  }

  start(): void {
    const { peers, clock, says } = this.#options;
    this.#isUp = true;
    const nowMs = clock.monotonic();
    this.#heardAtMs = nowMs;
    this.#beatAtMs = nowMs - BEAT_MS;
    this.#dueMs = nowMs;
    this.#ends = [
      peers.onBeat(payload => this.#hear(payload)),
      peers.answer(question => (QUESTION.equals(question) ? writeSays(says()) : null)),
    ];
    this.#tick();
  }

  stop(): void {
    this.#isUp = false;
    this.#cancel?.();
    for (const end of this.#ends) end();
  }

  /** Returns a function that ends it. */
  onChange(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Others say that these are members: what is not heard of them soon has gone. */
  expect(names: Iterable<string>): void {
    const nowMs = this.#options.clock.monotonic();
    for (const name of names) this.#roster.expect(name, nowMs);
  }

  /** Those who are there, this one too, in the order of their names. */
  alive(): Member[] {
    return this.all().filter(({ verdict }) => verdict !== 'gone');
  }

  /** Those who have gone and are remembered, too. */
  all(): Member[] {
    return this.#roster.all(this.#options.clock.monotonic());
  }

  /** What is thought of a member, also of one that is only expected; null: nobody has heard of it. */
  verdictOf(name: string): Verdict | null {
    return this.#roster.verdictOf(name);
  }

  #tick(): void {
    const { clock, peers, says } = this.#options;
    const nowMs = clock.monotonic();
    const lateMs = nowMs - this.#dueMs;
    if (lateMs > LATE_MS) this.#forgive(lateMs, nowMs);
    this.#believes(nowMs);
    if (nowMs - this.#beatAtMs >= BEAT_MS - TICK_MS / 2) {
      this.#beatAtMs = nowMs;
      peers.beat(writeSays(says()));
    }
    if (!this.#isolated && nowMs - this.#heardAtMs >= ISOLATED_MS) {
      this.#isolated = true;
      this.#tell({ kind: 'isolated' });
    }
    this.#look(nowMs);
    this.#dueMs = nowMs + TICK_MS;
    this.#cancel = clock.after(TICK_MS, () => this.#tick());
  }

  #look(nowMs: number): void {
    if (this.#isolated) return;
    for (const name of this.#roster.look(nowMs)) if (!this.#asked.has(name)) void this.#ask(name);
  }

  /** Whether *nobody* is believed: not by whoever has only just dialled, since the others may still be about to. */
  #believes(nowMs: number): boolean {
    const { connections } = this.#options.peers;
    if (connections !== this.#connections) this.#believesAtMs = nowMs + REDIAL_MS;
    this.#connections = connections;
    return !this.#isolated && nowMs >= this.#believesAtMs;
  }

  /** Nobody could be heard for so long. */
  #forgive(deafMs: number, nowMs: number): void {
    this.#heardAtMs = Math.min(nowMs, this.#heardAtMs + deafMs);
    this.#roster.forgive(deafMs, nowMs);
  }

  async #ask(name: string): Promise<void> {
    const { clock, peers } = this.#options;
    this.#asked.add(name);
    const heardAtMs = this.#roster.heardAtMs(name);
    const answer = await peers.ask(name, QUESTION, ANSWER_MS);
    this.#asked.delete(name);
    if (!this.#isUp) return;
    if (answer instanceof Uint8Array) {
      this.#hear(answer, name);
      return;
    }
    const nowMs = clock.monotonic();
    // If it was heard meanwhile, that was true for a moment only.
    if (answer === 'silent' || this.#roster.heardAtMs(name) !== heardAtMs || !this.#believes(nowMs)) return;
    this.#roster.hearNobody(name, nowMs);
    clock.after(ASK_AGAIN_MS, () => {
      if (this.#isUp) this.#look(clock.monotonic());
    });
  }

  /** @param of whom it must be of, if anybody in particular */
  #hear(payload: Uint8Array, of?: string): void {
    const nowMs = this.#options.clock.monotonic();
    const says = readSays(payload);
    if (says === null || (of !== undefined && says.name !== of)) {
      this.strays++;
      return;
    }
    if (this.#isolated) {
      this.#isolated = false;
      this.#forgive(nowMs - this.#heardAtMs, nowMs);
      this.#believesAtMs = nowMs + REDIAL_MS;
      this.#tell({ kind: 'connected' });
    }
    this.#heardAtMs = nowMs;
    if (!this.#roster.hear(says, nowMs)) this.strays++;
  }

  #tell(change: Change): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}
