/**
 * Subject templates: `analytics.{site}.{user.id}`. A token is literal text or one field in braces; `{partition}` is the
 * task's partition and `{key}` the record's key. A field may be a path into nested objects. Owns their grammar, and what
 * a value must be to become a subject token.
 */
import { MillraceError } from '../base/errors.ts';

/** What a subject may need beside the record. `key` is decoded. */
export interface Place {
  readonly partition: number;
  readonly key: unknown;
}

export interface Template {
  readonly text: string;
  /** Field paths in order, without `partition` and `key`. */
  readonly fields: readonly string[];
  /** Ends in `{partition}`, and nothing else in it varies: each task has a subject of its own. */
  readonly owned: boolean;
  /** The subject filter that takes every subject of the template, and no more than a token for each brace. */
  readonly covers: string;
  /** @throws MillraceError RECORD_SUBJECT naming the field and its value. */
  render(value: unknown, place: Place): string;
}

/** The longest subject, in bytes; the broker takes 4 KiB for a whole protocol line with its headers' sizes. */
export const SUBJECT_BYTES_MAX = 1024;
/** The longest text that a value may be within a subject. */
export const TOKEN_LENGTH_MAX = 256;

const LITERAL = /^[^\s.*>{}\p{Cc}\ud800-\udfff]+$/u;
const FIELD = /^[^\s.*>{}\p{Cc}]+(\.[^\s.*>{}\p{Cc}]+)*$/u;
/** What may not be in a token of a subject. */
const ILLEGAL = /[\s.*>\p{Cc}\ud800-\udfff]/u;

type Part = { readonly literal: string } | { readonly field: string; readonly path: readonly string[] };

/** @throws MillraceError INVALID_ARGUMENT saying which token is wrong. */
export function parseTemplate(text: string): Template {
  if (typeof text !== 'string' || text === '') throw invalid(String(text), 'is empty');
  const parts = tokensOf(text).map(token => partOf(text, token));
  if ('field' in parts[0]!) {
    // A record could otherwise choose the broker's own subjects ($JS…), and the output's stream would take everything.
    throw invalid(text, 'begins with a field: begin with a literal token');
  }
  const fields = parts.flatMap(part => ('field' in part && !isSpecial(part.field) ? [part.field] : []));
  const last = parts[parts.length - 1]!;
  const covers = parts.map(part => ('literal' in part ? part.literal : '*')).join('.');
  if (Buffer.byteLength(covers) > SUBJECT_BYTES_MAX) {
    throw invalid(text, `is longer than SUBJECT_BYTES_MAX (${SUBJECT_BYTES_MAX})`);
  }
  return {
    text,
    fields,
    owned: 'field' in last && last.field === 'partition' && parts.filter(part => 'field' in part).length === 1,
    covers,
    render: renderer(parts),
  };
}

/** The one subject of a template that is `owned`, of a task. */
export function ownSubject(text: string, partition: number): string {
  return text.replace('{partition}', String(partition));
}

function isSpecial(field: string): boolean {
  return field === 'partition' || field === 'key';
}

/** Splits at the dots that are not inside braces. */
function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  let token = '';
  let inBraces = false;
  for (const char of text) {
    if (char === '.' && !inBraces) {
      tokens.push(token);
      token = '';
      continue;
    }
    if (char === '{') inBraces = true;
    if (char === '}') inBraces = false;
    token += char;
  }
  tokens.push(token);
  return tokens;
}

function partOf(text: string, token: string): Part {
  if (token === '') throw invalid(text, 'has an empty token');
  if (token === '*' || token === '>') throw invalid(text, `has the wildcard '${token}': a result goes to one subject`);
  if (LITERAL.test(token)) return { literal: token };
  const field = token.startsWith('{') && token.endsWith('}') ? token.slice(1, -1) : null;
  if (field === null) {
    const why = /[{}]/.test(token)
      ? 'a field must be a token of its own, in one pair of braces'
      : 'no spaces, wildcards or control characters';
    throw invalid(text, `has the token '${token}': ${why}`);
  }
  if (!FIELD.test(field)) throw invalid(text, `has the field '{${field}}': a field is a name, or names joined by dots`);
  return { field, path: field.split('.') };
}

function renderer(parts: readonly Part[]): Template['render'] {
  // Literal text between fields is joined here, once.
  const before: string[] = [''];
  const fields: { readonly field: string; readonly path: readonly string[] }[] = [];
  parts.forEach((part, i) => {
    const dot = i === 0 ? '' : '.';
    if ('literal' in part) {
      before[before.length - 1] += dot + part.literal;
    } else {
      before[before.length - 1] += dot;
      fields.push(part);
      before.push('');
    }
  });
  return (value, place) => {
    let subject = before[0]!;
    for (let i = 0; i < fields.length; i++) {
      const { field, path } = fields[i]!;
      const found = field === 'partition' ? place.partition : field === 'key' ? place.key : lookUp(value, path);
      subject += tokenOf(field, found) + before[i + 1];
    }
    // A UTF-16 unit is at most three bytes; only near the limit is it counted exactly.
    if (subject.length * 3 > SUBJECT_BYTES_MAX && Buffer.byteLength(subject) > SUBJECT_BYTES_MAX) {
      throw refused(`the subject is longer than SUBJECT_BYTES_MAX (${SUBJECT_BYTES_MAX}): ${subject.slice(0, 100)}…`);
    }
    return subject;
  };
}

function lookUp(value: unknown, path: readonly string[]): unknown {
  let found = value;
  for (const name of path) {
    // Own fields only: `{constructor}` of a record without one is missing, not Object.
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined;
    found = (found as Record<string, unknown>)[name];
  }
  return found;
}

function tokenOf(field: string, value: unknown): string {
  switch (typeof value) {
    case 'string':
      if (value === '') throw refused(`{${field}} is an empty text`);
      if (value.length > TOKEN_LENGTH_MAX) {
        throw refused(
          `{${field}} is longer than TOKEN_LENGTH_MAX (${TOKEN_LENGTH_MAX}): ${JSON.stringify(value.slice(0, 40))}…`,
        );
      }
      if (ILLEGAL.test(value)) {
        throw refused(
          `{${field}} is ${JSON.stringify(value)}: no spaces, dots, '*', '>' or control characters in a subject`,
        );
      }
      return value;
    case 'number': {
      const text = String(value);
      // 1.5 would be two tokens, and NaN is nobody's subject.
      if (!Number.isFinite(value) || text.includes('.')) throw refused(`{${field}} is ${text}: only whole numbers`);
      return text;
    }
    case 'bigint':
    case 'boolean':
      return String(value);
  }
  const shown =
    value === null || value === undefined ? 'missing' : Array.isArray(value) ? 'a list' : `of type ${typeof value}`;
  throw refused(`{${field}} is ${shown}: a subject is made of texts, whole numbers and booleans`);
}

function refused(message: string): MillraceError {
  return new MillraceError('RECORD_SUBJECT', message);
}

function invalid(text: string, why: string): MillraceError {
  return new MillraceError('INVALID_ARGUMENT', `the subject template '${text}' ${why}`);
}
