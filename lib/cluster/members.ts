/**
 * Who is there. Owns this member's beats and its ear for those of the others, and asks whoever misses one; what is thought of
 * what was heard is `standing.ts`'s. Nothing of safety rests on it: who is called gone and is not costs time, never a row.
 *
 * - *own time*: silence counts only while this process could have heard. What its own loop is late is no silence of others,
 *   so who is slow himself is patient; and who has heard nobody at all, himself included (the broker sends him his own
 *   beats), is *isolated*: he calls nobody gone, and begins anew when he hears again
 * - whoever has only just dialled, or hears again, believes no *nobody* for two seconds: after a restart of the broker all
 *   dial anew, and the first who is back finds nobody
 * - *one name, one process*: while a process is heard, another one under its name is only told of. Which of them ends is
 *   decided elsewhere (`presence.ts`)
 *
 * It must not run where user code does, or a slow function is a dead member.
 */
import type { Clock } from '../base/clock.ts';
import type { Peers } from '../port/peers.ts';
import type { MemberView } from './placement.ts';
import { type MemberSays, readSays, writeSays } from './says.ts';
import {
  BEAT_MS,
  type History,
  historyAfter,
  judgeMember,
  type Patience,
  type Standing,
  standingOf,
  type Verdict,
} from './standing.ts';

/** A member, as this one knows it. */
export interface Member extends MemberView {
  readonly says: MemberSays;
  readonly verdict: Verdict;
  readonly standing: Standing;
  /** By the clock of whoever looks; null: it is there. */
  readonly goneSinceMs: number | null;
}

/**
 * - `joined`     it was not known before
 * - `changed`    zone, capacity or draining
 * - `suspect`    it does not answer
 * - `well`       it was suspect, and is heard
 * - `gone`
 * - `back`       it had gone
 * - `restarted`  another process has its name now
 * - `doubled`    another process has its name, too
 * - `isolated`   this one hears nobody; no name
 * - `connected`  it hears again; no name
 */
export interface MemberChange {
  readonly kind:
    | 'joined'
    | 'changed'
    | 'suspect'
    | 'well'
    | 'gone'
    | 'back'
    | 'restarted'
    | 'doubled'
    | 'isolated'
    | 'connected';
  readonly name: string | null;
}

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
const FORGET_MS = 600_000;
/** A stranger may make up names. */
const KNOWN_MAX = 1_000;
const QUESTION = Buffer.from('are you there?');

interface Known {
  readonly name: string;
  /** Null: others know of it, we have not heard of it yet. */
  says: MemberSays | null;
  heardAtMs: number;
  deafMs: number;
  nobodies: number;
  verdict: Verdict;
  history: History | null;
  isAsked: boolean;
  /** The process that has its name, too, of which was told. */
  twin: string | null;
}

export class Members {
  /** Beats and answers that no member can have said. */
  strays = 0;
  readonly #options: MembersOptions;
  readonly #patience: Patience;
  readonly #known = new Map<string, Known>();
  readonly #listeners = new Set<(change: MemberChange) => void>();
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
    this.#patience = options.patience ?? PATIENCE;
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
  onChange(listener: (change: MemberChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Others say that these are members: what is not heard of them soon has gone. */
  expect(names: Iterable<string>): void {
    for (const name of names) if (!this.#known.has(name)) this.#add(name);
  }

  /** Those who are there, this one too, in the order of their names. */
  alive(): Member[] {
    return this.all().filter(({ verdict }) => verdict !== 'gone');
  }

  /** Those who have gone and are remembered, too. */
  all(): Member[] {
    const nowMs = this.#options.clock.monotonic();
    const members = [...this.#known.values()].flatMap(({ name, says, verdict, history }) => {
      if (says === null || history === null) return [];
      const { zone, capacity, draining: isDraining } = says;
      const standing = standingOf(history, nowMs, this.#patience);
      const goneSinceMs = history.isThere ? null : history.sinceMs;
      return { name, zone, capacity, isDraining, says, verdict, standing, goneSinceMs };
    });
    return members.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  /** What is thought of a member, also of one that is only expected; null: nobody has heard of it. */
  verdictOf(name: string): Verdict | null {
    return this.#known.get(name)?.verdict ?? null;
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
      this.#tell('isolated', null);
    }
    for (const known of [...this.#known.values()]) this.#look(known);
    this.#dueMs = nowMs + TICK_MS;
    this.#cancel = clock.after(TICK_MS, () => this.#tick());
  }

  /** Whether *nobody* is believed: not by whoever has only just dialled, since the others may still be about to. */
  #believes(nowMs: number): boolean {
    const { connections } = this.#options.peers;
    if (connections !== this.#connections) this.#believesAtMs = nowMs + REDIAL_MS;
    this.#connections = connections;
    return nowMs >= this.#believesAtMs;
  }

  /** Nobody could be heard for so long. */
  #forgive(deafMs: number, nowMs: number): void {
    this.#heardAtMs = Math.min(nowMs, this.#heardAtMs + deafMs);
    for (const known of this.#known.values()) {
      known.deafMs = Math.min(nowMs - known.heardAtMs, known.deafMs + deafMs);
    }
  }

  #look(known: Known): void {
    const { clock } = this.#options;
    const nowMs = clock.monotonic();
    if (this.#isolated) return;
    const { verdict, ask } = judgeMember(known, nowMs);
    this.#judge(known, verdict);
    if (ask && !known.isAsked) void this.#ask(known);
    const { history } = known;
    if (history !== null && !history.isThere && nowMs - history.sinceMs >= FORGET_MS) this.#known.delete(known.name);
  }

  #judge(known: Known, verdict: Verdict): void {
    const nowMs = this.#options.clock.monotonic();
    known.history = historyAfter(known.history, verdict !== 'gone', nowMs, this.#patience);
    const before = known.verdict;
    if (verdict === before) return;
    known.verdict = verdict;
    this.#tell(verdict !== 'alive' ? verdict : before === 'gone' ? 'back' : 'well', known.name);
  }

  async #ask(known: Known): Promise<void> {
    const { clock, peers } = this.#options;
    known.isAsked = true;
    const heardAtMs = known.heardAtMs;
    const answer = await peers.ask(known.name, QUESTION, ANSWER_MS);
    known.isAsked = false;
    if (!this.#isUp) return;
    if (answer instanceof Uint8Array) {
      this.#hear(answer, known.name);
    } else if (answer === 'nobody') {
      // It was heard meanwhile, so that was true for a moment only.
      if (known.heardAtMs !== heardAtMs || !this.#believes(clock.monotonic())) return;
      known.nobodies++;
      if (!this.#isolated) this.#judge(known, judgeMember(known, clock.monotonic()).verdict);
      if (known.verdict !== 'gone') clock.after(ASK_AGAIN_MS, () => this.#isUp && this.#look(known));
    }
  }

  /** @param of whom it must be of, if anybody in particular */
  #hear(payload: Uint8Array, of?: string): void {
    const says = readSays(payload);
    const isOne = says !== null && (of === undefined || says.name === of);
    if (!isOne || (this.#known.size >= KNOWN_MAX && !this.#known.has(says.name))) {
      this.strays++;
      return;
    }
    this.#hearAgain();
    const known = this.#known.get(says.name) ?? this.#add(says.name);
    if (known.says === null) this.#meet(known, says);
    else if (known.says.instance === says.instance) this.#note(known, says);
    else this.#hearAnother(known, says);
  }

  /** Somebody was heard. */
  #hearAgain(): void {
    const nowMs = this.#options.clock.monotonic();
    if (this.#isolated) {
      this.#isolated = false;
      this.#forgive(nowMs - this.#heardAtMs, nowMs);
      for (const known of this.#known.values()) known.nobodies = 0;
      this.#believesAtMs = nowMs + REDIAL_MS;
      this.#tell('connected', null);
    }
    this.#heardAtMs = nowMs;
  }

  #meet(known: Known, says: MemberSays): void {
    this.#heard(known, says);
    known.history = historyAfter(null, true, known.heardAtMs, this.#patience);
    known.verdict = 'alive';
    this.#tell('joined', known.name);
  }

  #note(known: Known, says: MemberSays): void {
    const { zone, capacity, draining } = known.says!;
    this.#heard(known, says);
    this.#judge(known, 'alive');
    const isSame = says.zone === zone && says.capacity === capacity && says.draining === draining;
    if (!isSame) this.#tell('changed', known.name);
  }

  /** Another process goes by the name. */
  #hearAnother(known: Known, says: MemberSays): void {
    const nowMs = this.#options.clock.monotonic();
    const isHeard = known.verdict !== 'gone' && !judgeMember(known, nowMs).ask;
    if (isHeard) {
      if (known.twin === says.instance) return;
      known.twin = says.instance;
      this.#tell('doubled', known.name);
      return;
    }
    // Also where nobody has noticed that the former one had gone.
    known.history = historyAfter(known.history, false, nowMs, this.#patience);
    known.history = historyAfter(known.history, true, nowMs, this.#patience);
    this.#heard(known, says);
    known.verdict = 'alive';
    known.twin = null;
    this.#tell('restarted', known.name);
  }

  #heard(known: Known, says: MemberSays): void {
    known.says = says;
    known.heardAtMs = this.#options.clock.monotonic();
    known.deafMs = 0;
    known.nobodies = 0;
  }

  #add(name: string): Known {
    const heardAtMs = this.#options.clock.monotonic();
    const known: Known = {
      name,
      says: null,
      heardAtMs,
      deafMs: 0,
      nobodies: 0,
      verdict: 'alive',
      history: null,
      isAsked: false,
      twin: null,
    };
    this.#known.set(name, known);
    return known;
  }

  #tell(kind: MemberChange['kind'], name: string | null): void {
    for (const listener of [...this.#listeners]) listener({ kind, name });
  }
}
