/** What a worker says of itself: with each beat, for the others, and in its entry of the registry, for people. */
import { VERSION } from '../base/package.ts';
import type { Identity } from '../cluster/identity.ts';
import type { PresenceRecord } from '../cluster/presence.ts';
import type { MemberSays } from '../cluster/says.ts';
import type { Report } from './reports.ts';
import { figuresOf } from './whole.ts';

export interface Self {
  readonly me: Identity;
  readonly address: string | null;
  readonly zone: string;
  readonly capacity: number;
  readonly draining: boolean;
  /** It leads. */
  readonly active: boolean;
  /** When it began to, as the registry counts. */
  readonly term: number;
  readonly startedAtMs: number;
  readonly nowMs: number;
}

export function saysOf({ me, term, zone, capacity, draining }: Self, report: Report): MemberSays {
  const { tasks } = figuresOf(report);
  let warm = 0;
  for (const { status } of report.values()) for (const { fresh } of status.followers) if (fresh) warm++;
  const { name, instance } = me;
  return { name, instance, version: VERSION, term, zone, capacity, busy: 0, owned: tasks, warm, draining };
}

export function presenceOf(self: Self, report: Report): PresenceRecord {
  const { me, address, active, zone, capacity, draining, startedAtMs, nowMs } = self;
  const about = { instance: me.instance, address, version: VERSION, active, zone, capacity, draining };
  return { ...about, startedAtMs, seenAtMs: nowMs, ...figuresOf(report) };
}
