/** ISO 8601 texts as event times: whole days, or a time of day with or without a zone. */
const ISO_TIME = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/;
const DATE_LENGTH = 10;

/** Ms since 1970; NaN: it is no such text. Without a zone it is UTC: a result must not depend on where a worker stands. */
export function isoTimeMs(text: string): number {
  const match = ISO_TIME.exec(text);
  if (match === null) return Number.NaN;
  return Date.parse(match[1] === undefined && text.length > DATE_LENGTH ? `${text}Z` : text);
}
