/**
 * The yardstick: what each operator must give for all of its accepted records, computed as one would over a table. Slow
 * and obvious on purpose; nothing here comes from lib/.
 */
export interface Rec {
  readonly key: string;
  readonly id: number;
  readonly t: number;
}

export interface Row {
  readonly key: string;
  readonly value: unknown;
  readonly timeMs: number;
}

/** In the order of arrival: what is accepted depends on it. */
export function dedupeBatch(records: readonly (Rec & { dedupeId: string })[], withinMs: number): Row[] {
  const accepted: (Rec & { dedupeId: string })[] = [];
  for (const record of records) {
    const isCopy = accepted.some(
      one => one.key === record.key && one.dedupeId === record.dedupeId && Math.abs(one.t - record.t) <= withinMs,
    );
    if (!isCopy) accepted.push(record);
  }
  return accepted.map(record => ({ key: record.key, value: record.id, timeMs: record.t }));
}

export interface JoinBatch {
  readonly kind: string;
  readonly before: number;
  readonly after: number;
  /** W − grace at the end. */
  readonly horizon: number;
}

export function joinBatch(lefts: readonly Rec[], rights: readonly Rec[], join: JoinBatch): Row[] {
  const { kind, before, after, horizon } = join;
  const rows: Row[] = [];
  const matches = (l: Rec, r: Rec) => l.key === r.key && l.t - before <= r.t && r.t <= l.t + after;
  for (const l of lefts) {
    const partners = rights.filter(r => matches(l, r));
    if (['inner', 'left', 'right', 'outer'].includes(kind)) {
      for (const r of partners) rows.push({ key: l.key, value: [l.id, r.id], timeMs: Math.max(l.t, r.t) });
    }
    const isOver = horizon > l.t + after;
    const alone = { key: l.key, value: [l.id, null], timeMs: l.t };
    if (['left', 'outer', 'anti'].includes(kind) && partners.length === 0 && isOver) rows.push(alone);
    if (kind === 'semi' && partners.length > 0) rows.push(alone);
  }
  if (kind === 'right' || kind === 'outer') {
    for (const r of rights) {
      if (!lefts.some(l => matches(l, r)) && horizon > r.t + before) {
        rows.push({ key: r.key, value: [null, r.id], timeMs: r.t });
      }
    }
  }
  return rows;
}

export interface WindowBatch {
  readonly size: number;
  readonly advance: number;
  readonly offset: number;
  readonly horizon: number;
}

/** `counts(record, end)` says whether the record came while that window was open. */
export function windowBatch(
  records: readonly Rec[],
  windows: WindowBatch,
  counts: (record: Rec, end: number) => boolean = () => true,
): Row[] {
  const { size, advance, offset, horizon } = windows;
  const groups = new Map<string, { key: string; start: number; ids: number[] }>();
  for (const record of records) {
    // Every aligned start near the record is tried.
    const near = Math.floor((record.t - offset) / advance);
    const reach = Math.ceil(size / advance) + 1;
    for (let i = near - reach; i <= near + reach; i++) {
      const start = offset + i * advance;
      if (record.t < start || record.t >= start + size || !counts(record, start + size)) continue;
      const name = `${record.key}/${start}`;
      const group = groups.get(name) ?? { key: record.key, start, ids: [] };
      groups.set(name, group);
      group.ids.push(record.id);
    }
  }
  return [...groups.values()]
    .filter(group => group.start + size <= horizon)
    .map(group => ({
      key: group.key,
      value: { start: group.start, end: group.start + size, ids: group.ids.sort((a, b) => a - b) },
      timeMs: group.start + size - 1,
    }));
}

export function sessionBatch(records: readonly Rec[], options: { gap: number; horizon: number }): Row[] {
  const rows: Row[] = [];
  for (const key of new Set(records.map(record => record.key))) {
    const own = records.filter(record => record.key === key).sort((a, b) => a.t - b.t);
    let session: Rec[] = [];
    const close = () => {
      const end = session.at(-1)!.t;
      if (options.horizon > end + options.gap) {
        const ids = session.map(record => record.id).sort((a, b) => a - b);
        rows.push({ key, value: { start: session[0]!.t, end, ids }, timeMs: end });
      }
    };
    for (const record of own) {
      if (session.length > 0 && record.t - session.at(-1)!.t > options.gap) {
        close();
        session = [];
      }
      session.push(record);
    }
    if (session.length > 0) close();
  }
  return rows;
}
