/**
 * What is kept is read as what it was, or refused as JOURNAL_CORRUPT: packed values, frames, commits, snapshots, damaged at
 * will. And what authors and records write (subjects, templates, keys, durations) is taken or refused with a code.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { durationMs, durationText } from '../../lib/base/duration.ts';
import { type ErrorCode, MillraceError } from '../../lib/base/errors.ts';
import { type Change, DELETE } from '../../lib/change/change.ts';
import { decodeBroadcast, decodeFrame, encodeBroadcast, encodeFrame } from '../../lib/channel/frame.ts';
import { decodeCommit, decodeHead, encodeCommit, encodeMessage } from '../../lib/journal/entry.ts';
import { decodeKey, encodeKey, keyText } from '../../lib/record/key.ts';
import { pack, unpack } from '../../lib/record/rows.ts';
import { covers, hasWildcard, matches, overlaps } from '../../lib/record/subject.ts';
import { parseTemplate, SUBJECT_BYTES_MAX } from '../../lib/record/template.ts';
import { decodeDelta } from '../../lib/state/delta.ts';
import { decodeSegment, encodeSegments } from '../../lib/state/segment.ts';
import { decodeManifest, encodeManifest } from '../../lib/state/snapshot.ts';
import { TaskState } from '../../lib/state/state.ts';
import { damaged, hostileName, hostileText } from './arbitraries.ts';

const RUNS = 5_000;

/** Runs what may refuse, with one of these codes and no other error. */
function orRefuses<T>(codes: readonly ErrorCode[], run: () => T): T | null {
  try {
    return run();
  } catch (error) {
    assert.ok(
      error instanceof MillraceError && codes.includes(error.code),
      error instanceof Error ? error.stack : 'thrown',
    );
    assert.ok(error.message.length < 2_000, 'a message is for people');
    return null;
  }
}

const rows = fc.array(fc.dictionary(hostileName, fc.oneof(hostileText, fc.integer(), fc.double()), { maxKeys: 4 }), {
  maxLength: 6,
});
const head = { position: 7, row: 2, watermarkMs: 5, clockMs: 0, quietMs: 0, bootstrapped: false };
const frame = fc.tuple(rows, fc.uint8Array({ maxLength: 20 })).map(([values, bytes]) => {
  const letter = { operator: 'o', code: 'c', message: 'm', bytes, origin: 64, index: 0, subject: 's' };
  const times = values.map((_, i) => i * 1_000);
  const columns = { keys: values.map(() => 'k'), timesMs: times, origins: times, ids: null, values };
  const changes = values.map((_, i) => ((i + bytes.length) % 4) as Change);
  const letters = [letter, { ...letter, bytesTotal: 90 }, { ...letter, change: DELETE }];
  return encodeFrame({ ...head, columns: bytes.length % 2 === 0 ? columns : { changes, ...columns }, letters });
});
const entry = {
  kind: 'commit',
  part: 0,
  parts: 1,
  epoch: 1,
  revision: 4,
  assignment: 1,
  commit: 2,
  crcBefore: 3,
} as const;
const commit = fc.tuple(rows, fc.uint8Array({ maxLength: 20 })).map(([values, bytes]) => {
  const lists = { addresses: ['a'], addressOf: [0], lengths: [bytes.length], origins: [64] };
  const more = { changes: Uint8Array.of(2), keys: ['k'], timesMs: [5] };
  const block = { sink: 's', kind: 'x', target: 't', bytes, areLines: false, ...lists, ...more };
  const outbox = { frames: [{ route: { stage: 'g', input: 'i' }, partition: 1, row: 2, bytes }], rows: [block] };
  const sums = {
    positions: { in: 4 },
    watermarkMs: 5,
    dueMs: 6,
    relayedThrough: 1,
    tails: { s: 9 },
    snapshot: 0,
    isCheckpoint: false,
    counts: { in: 9, out: 8, late: 7, dead: 6, dropped: { filtered: 5 } },
  };
  return encodeCommit({ ...entry, ...sums, delta: pack(values), outbox });
});
const delta = rows.map(values => {
  const state = new TaskState([
    { name: 'op.v', key: 'key', kind: 'values' },
    { name: 'op.l', key: 'key', kind: 'lists' },
  ]);
  const [kept, listed] = [state.tables('op').values('v'), state.tables('op').lists('l')];
  kept.set(0, 'key', 1);
  values.forEach((value, i) => {
    kept.set(i % 3, `key-${i}`, value);
    listed.append(i % 2, 'key', value);
  });
  return state.takeDelta()!;
});

describe('bytes that are kept', () => {
  const kinds: readonly { name: string; valid: fc.Arbitrary<Uint8Array>; read(bytes: Uint8Array): unknown }[] = [
    { name: 'packed values', valid: rows.map(values => pack(values)), read: unpack },
    { name: 'frames', valid: frame, read: decodeFrame },
    { name: 'broadcasts', valid: fc.constant(encodeBroadcast(head)), read: decodeBroadcast },
    { name: 'commits', valid: commit, read: bytes => decodeCommit(entry, bytes) },
    {
      name: 'heads of journal messages',
      valid: fc.uint8Array().map(body => encodeMessage(entry, body)),
      read: decodeHead,
    },
    { name: 'changes of state', valid: delta, read: decodeDelta },
    {
      name: 'manifests',
      valid: fc.constant(encodeManifest({ commitSeq: 1, journalSeq: 2, segments: [] })),
      read: decodeManifest,
    },
    {
      name: 'segments',
      valid: fc.uint8Array({ minLength: 1 }).map(key => {
        const put = { type: 'put', key: Buffer.from(key), value: Buffer.from(key) } as const;
        return [...encodeSegments([put, { type: 'del', key: Buffer.concat([key, key]) }])][0]!;
      }),
      read: decodeSegment,
    },
  ];
  for (const { name, valid, read } of kinds) {
    test(`are read or refused when they were damaged: ${name}`, () => {
      fc.assert(
        fc.property(valid, it => void read(it)),
        { numRuns: 200 },
      );
      fc.assert(
        fc.property(fc.oneof(damaged(valid), damaged(valid), fc.uint8Array({ maxLength: 200 })), it => {
          orRefuses(['JOURNAL_CORRUPT'], () => read(it));
        }),
        { numRuns: RUNS },
      );
    });
  }
});

const token = fc.oneof(fc.constantFrom('*', '>', 'a', 'b', 'ab', '', '$x'), hostileText);
const subject = fc.array(token, { maxLength: 5 }).map(tokens => tokens.join('.'));
const plainToken = fc.constantFrom('a', 'b', 'ab', 'é', '$x');
const plain = fc.array(plainToken, { minLength: 1, maxLength: 4 }).map(tokens => tokens.join('.'));
const filter = fc
  .tuple(fc.array(fc.oneof(fc.constant('*'), plainToken), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([tokens, open]) => [...tokens, ...(open ? ['>'] : [])].join('.'));

/** Token by token, as the definition has it. */
function delivers(by: string, of: string): boolean {
  const pattern = by.split('.').map(part => {
    return part === '*' ? '[^.]+' : part === '>' ? '.+' : part.replace(/[$.*+?^{}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${pattern.join('\\.')}$`, 'u').test(of);
}

describe('subjects and templates', () => {
  test('match as the definition of filters says', () => {
    fc.assert(
      fc.property(filter, filter, plain, (a, b, of) => {
        assert.equal(matches(a, of), delivers(a, of), `${a} ${of}`);
        if (covers(a, b) && delivers(b, of)) assert.ok(delivers(a, of), `${a} covers ${b}, not ${of}`);
        if (delivers(a, of) && delivers(b, of)) assert.ok(overlaps(a, b), `${a} overlaps ${b} in ${of}`);
      }),
      { numRuns: RUNS },
    );
  });

  test('are judged whatever they are', () => {
    fc.assert(
      fc.property(subject, subject, (a, b) => {
        for (const judge of [matches, covers, overlaps]) assert.equal(typeof judge(a, b), 'boolean');
        hasWildcard(a);
      }),
      { numRuns: RUNS },
    );
  });

  test('make subjects that the broker takes, or refuse the template or the record', () => {
    const part = fc.oneof(
      fc.constantFrom('{key}', '{partition}', '{a}', '{a.b}', '{__proto__}', '{constructor.name}', 'x', '{', '}', '{}'),
      token,
    );
    const template = fc.array(part, { minLength: 1, maxLength: 5 }).map(parts => `t.${parts.join('.')}`);
    const field = fc.oneof(
      hostileText,
      fc.double(),
      fc.bigInt(),
      fc.boolean(),
      fc.constantFrom(null, undefined, 'x'.repeat(999)),
    );
    const value = fc.oneof(
      fc.dictionary(hostileName, field),
      fc.record({ a: fc.oneof(field, fc.record({ b: field })) }),
      fc.constantFrom(null, undefined, 5, 'a', []),
    );
    fc.assert(
      fc.property(template, value, fc.oneof(field, fc.array(field)), (text, it, key) => {
        const parsed = orRefuses(['INVALID_ARGUMENT'], () => parseTemplate(text));
        if (parsed === null) return;
        const made = orRefuses(['RECORD_SUBJECT'], () => parsed.render(it, { partition: 3, key }));
        if (made === null) return;
        assert.match(made, /^[^\s.*>\p{Cc}\ud800-\udfff]+(\.[^\s.*>\p{Cc}\ud800-\udfff]+)*$/u);
        assert.ok(Buffer.byteLength(made) <= SUBJECT_BYTES_MAX && delivers(parsed.covers, made));
      }),
      { numRuns: 2 * RUNS },
    );
  });
});

describe('keys', () => {
  const part = fc.letrec<{ part: unknown }>(tie => ({
    part: fc.oneof(
      { maxDepth: 3 },
      hostileText,
      fc.double(),
      fc.bigInt(),
      fc.boolean(),
      fc.constantFrom(null, undefined, Number.NaN, {}, new Date(0)),
      fc.array(tie('part'), { maxLength: 4 }),
    ),
  })).part;

  test('are encoded to a text that is read back, or refused', () => {
    fc.assert(
      fc.property(part, key => {
        const text = orRefuses(['RECORD_KEY'], () => encodeKey(key));
        if (text === null) return;
        assert.ok(Buffer.from(text).toString() === text, 'well-formed');
        assert.equal(encodeKey(decodeKey(text)), text);
        assert.equal(typeof keyText(text), 'string');
      }),
      { numRuns: 2 * RUNS },
    );
  });

  test('are no text at will: what no key is encoded to is refused', () => {
    const text = fc
      .array(
        fc.oneof(
          fc.constantFrom('\u0001', '\u0002', '\u0003', '\u0004', '\u0005', '\u0006', '1:', '0', '"', '-', ':'),
          hostileText,
        ),
      )
      .map(parts => parts.join(''));
    fc.assert(
      fc.property(text, it => {
        orRefuses(['RECORD_KEY'], () => decodeKey(it));
      }),
      { numRuns: 2 * RUNS },
    );
  });
});

test('durations are whole ms, or refused with what was written', () => {
  const unit = fc.constantFrom('ms', 's', 'm', 'h', 'd', 'w', '', ' ', 'y');
  const written = fc.oneof(
    fc
      .array(fc.tuple(fc.oneof(fc.nat(99), fc.double(), fc.constantFrom('', '-1', '1e9', '٣')), unit), { maxLength: 3 })
      .map(parts => parts.flat().join('')),
    hostileText,
    fc.double(),
    fc.integer(),
  );
  fc.assert(
    fc.property(written, it => {
      const ms = orRefuses(['INVALID_ARGUMENT'], () => durationMs(it));
      if (ms === null) return;
      assert.ok(Number.isSafeInteger(ms) && ms >= 0, `${it} is ${ms}`);
      assert.equal(durationMs(durationText(ms)), ms);
    }),
    { numRuns: 2 * RUNS },
  );
});
