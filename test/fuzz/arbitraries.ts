/** What is fed to everything that reads: names and texts that have hurt programs before, and bytes that were damaged. */
import fc from 'fast-check';

export const hostileName = fc.oneof(
  fc.constantFrom(
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'then',
    'length',
    '',
    '0',
    'id',
    '\u2028',
    '$ref',
  ),
  fc.string({ maxLength: 6 }),
);

export const hostileText = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '\u0000',
    '\ud800',
    'a\udfff',
    '\ufeff',
    '>',
    '*',
    'a.b',
    '..',
    '\r\n',
    '%00',
    '{}',
    '__proto__',
  ),
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ unit: fc.nat(0xffff).map(unit => String.fromCharCode(unit)), maxLength: 8 }),
);

/** The bytes with some changed, cut off, doubled, or put in. */
export function damaged(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const harm = fc.record({
    kind: fc.constantFrom('set', 'cut', 'double', 'insert', 'drop'),
    at: fc.nat(),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(0x00, 0x7f, 0x80, 0xc1, 0xdd, 0xdf, 0xff)),
  });
  return fc.tuple(valid, fc.array(harm, { minLength: 1, maxLength: 4 })).map(([bytes, harms]) => {
    let out = Buffer.from(bytes);
    for (const { kind, at, byte } of harms) {
      const place = out.length === 0 ? 0 : at % out.length;
      if (kind === 'set' && out.length > 0) out[place] = byte;
      else if (kind === 'cut') out = out.subarray(0, place);
      else if (kind === 'double') out = Buffer.concat([out.subarray(0, place), out.subarray(place >> 1)]);
      else if (kind === 'insert')
        out = Buffer.concat([out.subarray(0, place), Buffer.from([byte, byte]), out.subarray(place)]);
      else if (kind === 'drop') out = Buffer.concat([out.subarray(0, place), out.subarray(place + 1)]);
    }
    return new Uint8Array(out);
  });
}
