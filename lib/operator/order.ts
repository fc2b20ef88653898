/**
 * A total order on values.
 *
 * It settles ties. Two records of one key with the same event time arrive in either order after a restart or a
 * move; a result that must not depend on that asks `compareValues` who is first.
 */
/** Numbers before bigints before texts before everything else; the last by its JSON. 0: no result can tell them apart. */
export function compareValues(left: unknown, right: unknown): number {
  if (left === right) return 0;
  if (typeof left === 'number' && typeof right === 'number') return left - right;
  if (typeof left === 'string' && typeof right === 'string') return left < right ? -1 : 1;
  if (typeof left === 'bigint' && typeof right === 'bigint') return left < right ? -1 : 1;
  const byType = rankOf(left) - rankOf(right);
  if (byType !== 0) return byType;
  const leftText = textOf(left);
  const rightText = textOf(right);
  return leftText === rightText ? 0 : leftText < rightText ? -1 : 1;
}

function rankOf(value: unknown): number {
  const rank = ['number', 'bigint', 'string'].indexOf(typeof value);
  return rank < 0 ? 3 : rank;
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_name, part) => (typeof part === 'bigint' ? `${part}n` : part)) ?? 'undefined';
}
