/**
 * Sums that do not drift.
 *
 * `sum(f)` adds doubles with a second word for what rounding took away (Neumaier 1974, "improved Kahan–Babuška").
 * The error of the result is at most one rounding of the sum plus n²·2⁻¹⁰⁶ times the sum of the magnitudes, whatever
 * the order; plain addition loses n·2⁻⁵³ of it, and differently in each order.
 *
 * `sum(f, { scale })` is exact: it counts in units of 10^−scale, as integers, and refuses what is not one.
 */
import { MillraceError } from '../base/errors.ts';
import { shown } from './user-code.ts';

/**
 * The running sum, what rounding took from it, and how often `UNIT` was taken out of it, so that a sum which is too large
 * half-way is none in another order only. Absent: never.
 */
export type CompensatedSum = [sum: number, lost: number, units?: number];

/** Half of what no double can hold any more: two that add up to that differ from it by what doubles hold exactly. */
const UNIT = 2 ** 1023;

export function addCompensated(total: CompensatedSum, value: number): CompensatedSum {
  const sum = total[0];
  const next = sum + value;
  // Infinite, since both are finite.
  if (next - next !== 0) return addBeyond(total, value);
  total[1] += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
  total[0] = next;
  return total;
}

/** Both are of one sign, and the larger has a unit. */
function addBeyond(total: CompensatedSum, value: number): CompensatedSum {
  const sum = total[0];
  const sign = Math.sign(value);
  const sumIsLarger = Math.abs(sum) >= Math.abs(value);
  total[0] = (sumIsLarger ? sum : value) - sign * UNIT;
  total[2] = (total[2] ?? 0) + sign;
  return addCompensated(total, sumIsLarger ? value : sum);
}

export function mergeCompensated(left: CompensatedSum, right: CompensatedSum): CompensatedSum {
  addCompensated(left, right[0]);
  left[1] += right[1];
  if (right[2] !== undefined) left[2] = (left[2] ?? 0) + right[2];
  return left;
}

/** @throws MillraceError LIMIT_REACHED when no double can hold it. */
export function compensatedResult(total: CompensatedSum): number {
  const [sum, lost, units] = settled(total);
  const result = sum + lost;
  if (units === 0 && Number.isFinite(result)) return result;
  throw new MillraceError(
    'LIMIT_REACHED',
    'sum: the numbers of one key and window add up to more than 1.8e308, the largest there is; sum them in another unit',
  );
}

/** The mean of the `count` numbers that were added. It lies between them, so it never is too large. */
export function compensatedMean(total: CompensatedSum, count: number): number {
  const [sum, lost, units] = settled(total);
  if (units === 0) return (sum + lost) / count;
  const mean = sum / count + lost / count + units * (UNIT / count);
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, mean));
}

/** With as few units taken out as can be. */
function settled([sum, lost, units = 0]: CompensatedSum): Required<CompensatedSum> {
  const total: CompensatedSum = [sum, lost];
  let left = units;
  while (left !== 0) {
    const unit = Math.sign(left) * UNIT;
    if (!Number.isFinite(total[0] + unit)) break;
    addCompensated(total, unit);
    left -= Math.sign(left);
  }
  return [total[0], total[1], left];
}

/** An exact integer: `high · CARRY + low`. Two doubles, since a bigint beyond 64 bits has no msgpack form. */
export type ExactSum = [high: number, low: number];

const CARRY = 2 ** 52;
/** Largest magnitude, in units, of one summand: two of them add up exactly in a double. */
const UNITS_MAX = CARRY;
export const SCALE_MAX = 12;

/**
 * The value in units of 10^−scale.
 * @throws MillraceError RECORD_INVALID when it has more decimals than that, or is too large for a double to hold them.
 */
export function unitsOf(value: number, scale: number): number {
  const scaled = value * 10 ** scale;
  const units = Math.round(scaled);
  // A decimal text read as a double is off by half a unit in the last place; the product adds as much again.
  if (Math.abs(scaled - units) > Math.abs(scaled) * 2 ** -51) {
    throw new MillraceError('RECORD_INVALID', `${shown(value)} has more than ${scale} decimals; raise the sum's scale`);
  }
  if (Math.abs(units) >= UNITS_MAX) {
    throw new MillraceError('RECORD_INVALID', `${shown(value)} is too large to be exact to ${scale} decimals`);
  }
  return units === 0 ? 0 : units;
}

export function addExact(total: ExactSum, units: number): ExactSum {
  let low = total[1] + units;
  if (low >= CARRY || low <= -CARRY) {
    const carry = low > 0 ? 1 : -1;
    total[0] += carry;
    low -= carry * CARRY;
  }
  total[1] = low;
  return total;
}

export function mergeExact(left: ExactSum, right: ExactSum): ExactSum {
  addExact(left, right[1]);
  left[0] += right[0];
  return left;
}

/** The double nearest to the exact sum. */
export function exactResult(total: ExactSum, scale: number): number {
  const units = BigInt(total[0]) * BigInt(CARRY) + BigInt(total[1]);
  // Dividing would round twice; reading the decimal text rounds once.
  return Number(`${units}e-${scale}`);
}
