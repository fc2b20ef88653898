/**
 * Versions of a record: the same fact in several shapes, each recognised by its schema and brought to the latest.
 *
 *   const order = versions(OrderV3)
 *     .from(OrderV2, old => ({ currency: 'EUR', ...old }))
 *     .from(OrderV1, old => ({ id: old.orderId, total: Number(old.total), currency: 'EUR' }));
 *
 * The result is a Standard Schema itself, so it stands wherever a schema does.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { MillraceError } from '../base/errors.ts';
import { placedMessageOf } from '../base/place.ts';
import { type Checked, checker, isPromise } from './schema.ts';

/** A schema that takes every version and gives the latest's output. */
export interface Versions<Latest extends StandardSchemaV1>
  extends StandardSchemaV1<unknown, StandardSchemaV1.InferOutput<Latest>> {
  /**
   * Adds an older version, tried after those added before it.
   * @param up brings what the old schema gives to what the latest takes. It must be synchronous; the latest schema
   * judges its result.
   */
  from<Old extends StandardSchemaV1>(
    old: Old,
    up: (value: StandardSchemaV1.InferOutput<Old>) => StandardSchemaV1.InferInput<Latest>,
  ): Versions<Latest>;
}

interface OlderVersion {
  readonly name: string;
  readonly check: (value: unknown) => Checked<unknown>;
  readonly up: (value: unknown) => unknown;
}

/**
 * Starts with the latest version, which is tried first. A version is recognised by its schema alone, so an older schema
 * that accepts the newer shape too must come later, or say what it needs. Unknown fields are each schema's own matter
 * (zod drops them): what an old version does not know does not reach the latest.
 *
 * A value that fits no version is refused with the reasons of each. One that is recognised, but cannot be brought up
 * or does not fit then, is refused with that reason: it does not fall through to still older versions.
 */
export function versions<Latest extends StandardSchemaV1>(latest: Latest): Versions<Latest> {
  return chain<Latest>(checker(latest), []);
}

function chain<Latest extends StandardSchemaV1>(
  checkLatest: (value: unknown) => Checked<unknown>,
  older: readonly OlderVersion[],
): Versions<Latest> {
  type Output = StandardSchemaV1.InferOutput<Latest>;
  return {
    '~standard': {
      version: 1,
      vendor: 'millrace',
      validate: (value: unknown): StandardSchemaV1.Result<Output> => resolve<Output>(checkLatest, older, value),
    },
    from(old, up) {
      if (typeof up !== 'function') {
        throw new MillraceError('INVALID_ARGUMENT', 'from(old, up) needs a function that brings the old version up');
      }
      const name = older.length === 0 ? 'the version before' : `the version ${older.length + 1} before`;
      const step: OlderVersion = { name, check: checker(old), up: up as OlderVersion['up'] };
      return chain(checkLatest, [...older, step]);
    },
  };
}

function resolve<Output>(
  checkLatest: (value: unknown) => Checked<unknown>,
  older: readonly OlderVersion[],
  value: unknown,
): StandardSchemaV1.Result<Output> {
  const latest = checkLatest(value);
  if (latest.reasons === undefined) return { value: latest.value as Output };
  const issues = issuesOf('the latest version', latest.reasons);
  for (const step of older) {
    const recognised = step.check(value);
    if (recognised.reasons === undefined) return bringUp(step, recognised.value, checkLatest);
    issues.push(...issuesOf(step.name, recognised.reasons));
  }
  return { issues };
}

function bringUp<Output>(
  step: OlderVersion,
  old: unknown,
  checkLatest: (value: unknown) => Checked<unknown>,
): StandardSchemaV1.Result<Output> {
  let brought: unknown;
  try {
    brought = step.up(old);
  } catch (cause) {
    throw new MillraceError('USER_CODE', `bringing ${step.name} up threw: ${placedMessageOf(cause)}`, { cause });
  }
  if (isPromise(brought)) {
    throw new MillraceError('USER_CODE', `bringing ${step.name} up returned a promise: it must be synchronous`);
  }
  const checked = checkLatest(brought);
  if (checked.reasons === undefined) return { value: checked.value as Output };
  return { issues: issuesOf(`${step.name}, brought up`, checked.reasons) };
}

function issuesOf(version: string, reasons: readonly string[]): StandardSchemaV1.Issue[] {
  return reasons.map(reason => ({ message: reason, path: [`(${version})`] }));
}
