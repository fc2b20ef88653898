/**
 * What one member knows of all: what each has last said, whether it is there, and what has changed. Owns what becomes of it
 * with each beat, answer and look; it hears and asks nobody itself (`members.ts`), and is told what time it is.
 *
 * While a process is heard, another one under its name is only told of: which of them ends is `presence.ts`'s to decide. When
 * the first one misses a beat the other takes its place here, and the member was away.
 */
import type { MemberView } from './placement.ts';
import type { MemberSays } from './says.ts';
import {
  type History,
  historyAfter,
  judgeMember,
  NOBODIES,
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
 * - `suspect`    it is silent
 * - `well`       it was suspect, and is heard
 * - `gone`       silent for too long; or `nobody` answers for it any more
 * - `back`       it had gone
 * - `restarted`  another process has its name now
 * - `doubled`    another process has its name, too
 */
export type MemberChange =
  | {
      readonly kind: 'joined' | 'changed' | 'suspect' | 'well' | 'back' | 'restarted' | 'doubled';
      readonly name: string;
    }
  | { readonly kind: 'gone'; readonly name: string; readonly why: 'nobody' | 'silent' };

const FORGET_MS = 600_000;
/** A stranger may make up names. */
const KNOWN_MAX = 1_000;

interface Known {
  readonly name: string;
  /** Null: others know of it, and it was never heard. */
  says: MemberSays | null;
  heardAtMs: number;
  deafMs: number;
  nobodies: number;
  verdict: Verdict;
  history: History;
  /** The process that has its name, too, of which was told. */
  twin: string | null;
}

export class Roster {
  readonly #patience: Patience;
  readonly #tell: (change: MemberChange) => void;
  readonly #known = new Map<string, Known>();

  constructor(patience: Patience, tell: (change: MemberChange) => void) {
    this.#patience = patience;
    this.#tell = tell;
  }

  /** Sorted by name. */
  all(nowMs: number): Member[] {
    const members = [...this.#known.values()].flatMap(({ name, says, verdict, history }) => {
      if (says === null) return [];
      const { zone, capacity, draining: isDraining } = says;
      const standing = standingOf(history, nowMs, this.#patience);
      const goneSinceMs = history.isThere ? null : history.sinceMs;
      return { name, zone, capacity, isDraining, says, verdict, standing, goneSinceMs };
    });
    return members.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  verdictOf(name: string): Verdict | null {
    return this.#known.get(name)?.verdict ?? null;
  }

  /** When it was heard last; null: it is not known. */
  heardAtMs(name: string): number | null {
    return this.#known.get(name)?.heardAtMs ?? null;
  }

  /** It counts as heard now, so that it has gone when it goes on not being. */
  expect(name: string, nowMs: number): void {
    if (!this.#known.has(name)) this.#add(name, nowMs);
  }

  /** False: there are too many to be true. */
  hear(says: MemberSays, nowMs: number): boolean {
    const known = this.#known.get(says.name);
    if (known === undefined && this.#known.size >= KNOWN_MAX) return false;
    if (known === undefined || known.says === null) this.#meet(known ?? this.#add(says.name, nowMs), says, nowMs);
    else if (known.says.instance === says.instance) this.#note(known, says, nowMs);
    else this.#hearAnother(known, says, nowMs);
    return true;
  }

  /** A question to it has found nobody. */
  hearNobody(name: string, nowMs: number): void {
    const known = this.#known.get(name);
    if (known === undefined) return;
    known.nobodies++;
    this.#judge(known, nowMs);
  }

  /** Nobody could be heard for so long; and if so, nobody who was asked either. */
  forgive(deafMs: number, nowMs: number): void {
    for (const known of this.#known.values()) {
      known.deafMs = Math.min(nowMs - known.heardAtMs, known.deafMs + deafMs);
    }
  }

  /** Judges all, forgets who went long ago, and returns those who should be asked. */
  look(nowMs: number): string[] {
    const asked: string[] = [];
    for (const known of this.#known.values()) {
      if (this.#judge(known, nowMs)) asked.push(known.name);
      const { isThere, sinceMs } = known.history;
      if (!isThere && nowMs - sinceMs >= FORGET_MS) this.#known.delete(known.name);
    }
    return asked;
  }

  /** Whether it should be asked. */
  #judge(known: Known, nowMs: number): boolean {
    // Only what it says itself brings it back.
    if (known.verdict === 'gone') return false;
    const { verdict, ask } = judgeMember(known, nowMs);
    known.history = historyAfter(known.history, verdict !== 'gone', nowMs, this.#patience);
    const { name, nobodies, verdict: before } = known;
    known.verdict = verdict;
    if (verdict === before) return ask;
    if (verdict === 'gone') this.#tell({ kind: 'gone', name, why: nobodies >= NOBODIES ? 'nobody' : 'silent' });
    else this.#tell({ kind: verdict === 'suspect' ? 'suspect' : 'well', name });
    return ask;
  }

  #meet(known: Known, says: MemberSays, nowMs: number): void {
    // It cannot have been away.
    known.history = historyAfter(null, true, nowMs, this.#patience);
    this.#heard(known, says, nowMs);
    this.#tell({ kind: 'joined', name: known.name });
  }

  #note(known: Known, says: MemberSays, nowMs: number): void {
    const { name, verdict: before } = known;
    const { zone, capacity, draining } = known.says!;
    known.history = historyAfter(known.history, true, nowMs, this.#patience);
    this.#heard(known, says, nowMs);
    if (before !== 'alive') this.#tell({ kind: before === 'gone' ? 'back' : 'well', name });
    const isSame = says.zone === zone && says.capacity === capacity && says.draining === draining;
    if (!isSame) this.#tell({ kind: 'changed', name });
  }

  /** Another process goes by the name. */
  #hearAnother(known: Known, says: MemberSays, nowMs: number): void {
    const { name } = known;
    if (known.verdict !== 'gone' && !judgeMember(known, nowMs).ask) {
      if (known.twin === says.instance) return;
      known.twin = says.instance;
      this.#tell({ kind: 'doubled', name });
      return;
    }
    // Also where nobody has noticed that the former one had gone.
    known.history = historyAfter(known.history, false, nowMs, this.#patience);
    known.history = historyAfter(known.history, true, nowMs, this.#patience);
    known.twin = null;
    this.#heard(known, says, nowMs);
    this.#tell({ kind: 'restarted', name });
  }

  #heard(known: Known, says: MemberSays, nowMs: number): void {
    known.says = says;
    known.heardAtMs = nowMs;
    known.deafMs = 0;
    known.nobodies = 0;
    known.verdict = 'alive';
  }

  #add(name: string, nowMs: number): Known {
    const history = historyAfter(null, true, nowMs, this.#patience);
    const heard = { heardAtMs: nowMs, deafMs: 0, nobodies: 0 };
    const known: Known = { name, says: null, ...heard, verdict: 'alive', history, twin: null };
    this.#known.set(name, known);
    return known;
  }
}
