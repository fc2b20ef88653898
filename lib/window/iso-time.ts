/**
 * ISO 8601 texts as event times: whole days, or a time of day with or without a zone. Read here, field by field: the
 * runtime takes a day too many for the first of the next month, guesses what it does not know, and puts years below 100
 * into the last century.
 *
 * Not read, since they name no day or second of the calendar that every clock has: 24:00, the second 60, weeks, days of the
 * year, years of more than four digits.
 */
const ISO_TIME = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?$/;
/** At the end of a text with a time of day. */
const ZONE = /(?:Z|[+-]\d\d(?::?\d\d)?)$/;

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

const ZERO = 0x30;
const NINE = 0x39;
const MINUS = 0x2d;
const POINT = 0x2e;
const COLON = 0x3a;
const LETTER_Z = 0x5a;

/** Where the fields begin. */
const MONTH = 5;
const DAY = 8;
const HOUR = 11;
const MINUTE = 14;
const SECOND = 17;
const DATE_LENGTH = 10;
const MINUTES_LENGTH = 16;
const SECONDS_LENGTH = 19;

/** Days of a common year before each month. */
const BEFORE_MONTH = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/** Why a text that is written as a time is none, for people; null: it is not written so, or is one. */
export function whyNoTime(text: string): string | null {
  if (!ISO_TIME.test(text) || !Number.isNaN(isoTimeMs(text))) return null;
  if (Number.isNaN(isoTimeMs(text.slice(0, DATE_LENGTH)))) return 'there is no such day';
  const isClocks = !Number.isNaN(isoTimeMs(text.replace(ZONE, '')));
  return isClocks ? 'there is no such zone' : 'a time of day is from 00:00 to 23:59:59';
}

/** Ms since 1970; NaN: it is no such text. Without a zone it is UTC: a result must not depend on where a worker stands. */
export function isoTimeMs(text: string): number {
  if (!ISO_TIME.test(text)) return Number.NaN;
  const dayMs = dayOf(two(text, 0) * 100 + two(text, 2), two(text, MONTH), two(text, DAY)) * DAY_MS;
  if (text.length === DATE_LENGTH) return dayMs;
  const hour = two(text, HOUR);
  const minute = two(text, MINUTE);
  if (hour > 23 || minute > 59) return Number.NaN;
  const minuteMs = dayMs + (hour * 60 + minute) * MINUTE_MS;
  if (text.charCodeAt(MINUTES_LENGTH) !== COLON) return minuteMs - zoneMs(text, MINUTES_LENGTH);
  const second = two(text, SECOND);
  if (second > 59) return Number.NaN;
  const secondMs = minuteMs + second * 1_000;
  if (text.charCodeAt(SECONDS_LENGTH) !== POINT) return secondMs - zoneMs(text, SECONDS_LENGTH);
  let at = SECONDS_LENGTH + 1;
  let fractionMs = 0;
  for (let unitMs = 100; isDigit(text.charCodeAt(at)); unitMs = Math.floor(unitMs / 10)) {
    fractionMs += (text.charCodeAt(at++) - ZERO) * unitMs;
  }
  return secondMs + fractionMs - zoneMs(text, at);
}

/** Days since 1970 in the calendar of today, also for days before it was in use; NaN: there is no such day. */
function dayOf(year: number, month: number, day: number): number {
  if (month < 1 || month > 12) return Number.NaN;
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const length = BEFORE_MONTH[month]! - BEFORE_MONTH[month - 1]! + (isLeap && month === 2 ? 1 : 0);
  if (day < 1 || day > length) return Number.NaN;
  const past = year - 1;
  const before = past * 365 + Math.floor(past / 4) - Math.floor(past / 100) + Math.floor(past / 400);
  return before + BEFORE_MONTH[month - 1]! + (isLeap && month > 2 ? 1 : 0) + day - 1 - 719_162;
}

/** How far a zone is ahead of UTC: `Z`, `+hh`, `+hhmm` or `+hh:mm`, at the end of the text, or nothing. */
function zoneMs(text: string, at: number): number {
  if (at === text.length || text.charCodeAt(at) === LETTER_Z) return 0;
  const hours = two(text, at + 1);
  const minutes = text.length > at + 3 ? two(text, text.length - 2) : 0;
  if (hours > 23 || minutes > 59) return Number.NaN;
  return (hours * 60 + minutes) * (text.charCodeAt(at) === MINUS ? -MINUTE_MS : MINUTE_MS);
}

function two(text: string, at: number): number {
  return (text.charCodeAt(at) - ZERO) * 10 + text.charCodeAt(at + 1) - ZERO;
}

function isDigit(unit: number): boolean {
  return unit >= ZERO && unit <= NINE;
}
