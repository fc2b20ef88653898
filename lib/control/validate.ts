/**
 * What a request must be like. Each check adds what is wrong with one field, and a request is refused with all of it at
 * once. A description reads on after the field's name: "is missing; …".
 */
import { messageOf } from '../base/errors.ts';
import type { Bundle } from '../bundle/bundle.ts';
import { BUNDLE_BYTES_MAX } from '../bundle/bundle.ts';
import { encodeKey } from '../record/key.ts';
import { END, parseComplete } from '../source/heartbeat.ts';
import type { Violation } from './details.ts';
import { keyFromJson } from './messages.ts';
import type { FilterWire } from './wire.ts';

const NAME_CHARACTERS_MAX = 256;
const SUBJECT_CHARACTERS_MAX = 256;
const TOKEN_CHARACTERS_MAX = 1_000;
const KEY_JSON_CHARACTERS_MAX = 64 * 1024;
const NUMBERS_MAX = 10_000;
export const INTERVAL_MS_MIN = 100;
const INTERVAL_MS_MAX = 3_600_000;
export const PAGE_SIZE_MAX = 1_000;
const PAST_MAX = 10_000;

export class Checks {
  readonly violations: Violation[] = [];

  /** Adds a violation unless it holds. */
  that(holds: boolean, field: string, description: string): this {
    if (!holds) this.violations.push({ field, description });
    return this;
  }

  /** A name that must be there. */
  name(value: string, field: string): this {
    return this.that(value !== '', field, `is missing; give the name of a ${kindOf(field)}`).nameOrAll(value, field);
  }

  /** A name, or nothing. */
  nameOrAll(value: string, field: string): this {
    return this.that(
      value.length <= NAME_CHARACTERS_MAX,
      field,
      `has ${value.length} characters; no name has more than ${NAME_CHARACTERS_MAX}`,
    );
  }

  whole(value: number, field: string, range: { min: number; max: number }): this {
    const { min, max } = range;
    const holds = Number.isSafeInteger(value) && value >= min && value <= max;
    return this.that(holds, field, `is ${value}; give a whole number from ${min} to ${max}`);
  }

  /** 0 means the default. */
  intervalMs(value: number): this {
    const holds = value === 0 || (value >= INTERVAL_MS_MIN && value <= INTERVAL_MS_MAX);
    const range = `at least ${INTERVAL_MS_MIN} and at most ${INTERVAL_MS_MAX}`;
    return this.that(holds, 'interval_ms', `is ${value}; take ${range}, or 0 for the default`);
  }

  page({ pageSize, pageToken }: { pageSize: number; pageToken: string }): this {
    this.whole(pageSize, 'page_size', { min: 0, max: PAGE_SIZE_MAX });
    return this.that(pageToken.length <= TOKEN_CHARACTERS_MAX, 'page_token', 'is none that a page has given');
  }

  past(value: number): this {
    return this.whole(value, 'past', { min: 0, max: PAST_MAX });
  }

  /** Names that are not known arrive as numbers. */
  known(value: string | number, field: string): this {
    return this.that(typeof value === 'string', field, `is ${value}, which this version does not know`);
  }

  /** A time that a source can be complete to. */
  eventTime(text: string, field: string): this {
    try {
      parseComplete(text);
      return this;
    } catch {
      return this.that(false, field, `is no event time; give one in ISO, e.g. 2026-03-01T18:00:00Z, or ${END}`);
    }
  }

  key(json: string): this {
    if (json === '') return this.that(false, 'key_json', 'is missing; give the key as JSON, e.g. "e1" in quotes, or 7');
    if (json.length > KEY_JSON_CHARACTERS_MAX) return this.that(false, 'key_json', 'is longer than any key');
    const key = keyFromJson(json);
    if (key === undefined || key === null) {
      return this.that(false, 'key_json', 'is no key in JSON; give e.g. "e1" in quotes, 7, or ["de","berlin"]');
    }
    try {
      encodeKey(key);
      return this;
    } catch (error) {
      return this.that(false, 'key_json', `cannot be a key: ${messageOf(error)}`);
    }
  }

  bundle(bundle: Bundle | null): this {
    if (bundle === null) return this.that(false, 'bundle', 'is missing; send the pipeline as one ES module');
    const { code, hash, file } = bundle;
    const megabytes = BUNDLE_BYTES_MAX / 1024 / 1024;
    return this.that(code.length > 0, 'bundle.code', 'is missing; send the pipeline as one ES module')
      .that(code.length <= BUNDLE_BYTES_MAX, 'bundle.code', `is larger than ${megabytes} MiB; import less`)
      .that(/^[0-9a-f]{64}$/.test(hash), 'bundle.hash', 'is no SHA-256; give 64 lower-case hex digits')
      .that(
        file.length <= NAME_CHARACTERS_MAX * 4,
        'bundle.file',
        'is longer than any path; give the name of the file',
      );
  }

  /** A subject to publish on, or nothing. */
  subjectOrNone(subject: string, field: string): this {
    const holds = subject === '' || (/^[^\s.*>]+(\.[^\s.*>]+)*$/.test(subject) && !/[\p{Cc}\p{Cs}]/u.test(subject));
    return this.that(subject.length <= SUBJECT_CHARACTERS_MAX, field, 'is longer than a subject should be').that(
      holds,
      field,
      'is no subject to publish on; give words with dots between, no spaces and no wildcards',
    );
  }

  filter(filter: FilterWire | null): this {
    if (filter === null) return this.that(false, 'filter', 'is missing; name at least the pipeline');
    const { pipeline, kind, operator, code, numbers, sinceMs } = filter;
    const max = Number.MAX_SAFE_INTEGER;
    return this.name(pipeline, 'filter.pipeline')
      .known(kind, 'filter.kind')
      .nameOrAll(operator, 'filter.operator')
      .nameOrAll(code, 'filter.code')
      .that(numbers.length <= NUMBERS_MAX, 'filter.numbers', `has ${numbers.length}; give at most ${NUMBERS_MAX}`)
      .that(
        numbers.every(number => Number.isSafeInteger(number) && number >= 1),
        'filter.numbers',
        'has one that is no number of a letter; they begin at 1',
      )
      .whole(sinceMs, 'filter.since_ms', { min: 0, max });
  }
}

function kindOf(field: string): string {
  const last = field.split('.').at(-1) ?? field;
  return last === 'name' ? 'pipeline' : last;
}
