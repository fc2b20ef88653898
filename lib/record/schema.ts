/** Schemas: any Standard Schema (zod, valibot, arktype, …) as a function that returns the value as the schema gives it. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { placedMessageOf } from '../base/place.ts';

/** A value as a schema left it, or why the schema does not fit. */
export type Checked<T> =
  | { readonly value: T; readonly reasons?: undefined }
  | { readonly value?: undefined; readonly reasons: readonly string[] };

/** Reasons told of one value: the first ones say enough, and they travel in a header of the dead letter. */
export const REASONS_MAX = 10;

/**
 * A function from a decoded value to what the schema makes of it: validated, coerced, defaulted. What becomes of
 * unknown fields is the schema's own choice (zod: `object` drops them, `strictObject` refuses, `looseObject` keeps).
 * @returns throws MillraceError RECORD_INVALID with path and reason of each issue; USER_CODE if the schema itself throws.
 * @throws MillraceError INVALID_ARGUMENT when it is no Standard Schema.
 */
export function validator<T>(schema: StandardSchemaV1<unknown, T>): (value: unknown) => T {
  const check = checker(schema);
  return value => {
    const checked = check(value);
    if (checked.reasons === undefined) return checked.value;
    throw new MillraceError('RECORD_INVALID', `the record does not fit its schema: ${checked.reasons.join('; ')}`);
  };
}

/** As `validator`, with the misfit as a value: for trying one schema after another. */
export function checker<T>(schema: StandardSchemaV1<unknown, T>): (value: unknown) => Checked<T> {
  const standard = standardOf(schema);
  return value => {
    const result = run(standard, value);
    return result.issues === undefined ? { value: result.value } : { reasons: reasonsOf(result.issues) };
  };
}

function standardOf<T>(schema: StandardSchemaV1<unknown, T>): StandardSchemaV1.Props<unknown, T> {
  // Schemas of some libraries are functions.
  const isCandidate = (typeof schema === 'object' && schema !== null) || typeof schema === 'function';
  const standard = isCandidate ? schema['~standard'] : undefined;
  if (typeof standard?.validate !== 'function') {
    throw new MillraceError(
      'INVALID_ARGUMENT',
      'a schema must be a Standard Schema: of zod 3.24 or later, valibot, arktype, …',
    );
  }
  return standard;
}

function run<T>(standard: StandardSchemaV1.Props<unknown, T>, value: unknown): StandardSchemaV1.Result<T> {
  let result: StandardSchemaV1.Result<T> | Promise<StandardSchemaV1.Result<T>>;
  try {
    result = standard.validate(value);
  } catch (cause) {
    if (isMillraceError(cause)) throw cause;
    throw new MillraceError('USER_CODE', `the schema threw: ${placedMessageOf(cause)}`, { cause });
  }
  if (isPromise(result)) {
    throw new MillraceError(
      'USER_CODE',
      'the schema is asynchronous: records are validated synchronously, so move what it waits for out of the schema',
    );
  }
  return result;
}

/** Whether user code went asynchronous where it may not. A later rejection, which nobody waits for, then ends nothing. */
export function isPromise(value: unknown): value is Promise<unknown> {
  if (typeof value !== 'object' || value === null || !('then' in value) || typeof value.then !== 'function')
    return false;
  value.then(undefined, () => undefined);
  return true;
}

function reasonsOf(issues: readonly StandardSchemaV1.Issue[]): string[] {
  const reasons = issues.slice(0, REASONS_MAX).map(issue => `${pathText(issue.path)}: ${issue.message}`);
  if (issues.length > REASONS_MAX) reasons.push(`and ${issues.length - REASONS_MAX} more`);
  // A schema that fails without saying why still fails.
  return reasons.length > 0 ? reasons : ['the schema gives no reason'];
}

function pathText(path: StandardSchemaV1.Issue['path']): string {
  let text = '';
  for (const step of path ?? []) {
    const key = typeof step === 'object' ? step.key : step;
    text += typeof key === 'number' ? `[${key}]` : text === '' ? String(key) : `.${String(key)}`;
  }
  return text === '' ? 'the value' : text;
}
