/**
 * The byte layout of packed values (`rows.ts`), shared by its writer and its reader. Journals and snapshots are written
 * in it, so a version, once released, is read for ever; golden bytes are in `test/unit/record/rows.test.ts`.
 *
 *   0       version, 1
 *   1       1 when the texts are ASCII, else 0
 *   2…5     length of the body in bytes, little-endian
 *   6…      body: one value, as tokens
 *   then    all strings of the body, in order, as one JSON array; nothing when there are none
 *
 * A token is a tag byte and what the table below says. Numbers are little-endian; a *count* is a LEB128 unsigned
 * integer. A string token takes the next string of the array: one native JSON call then reads all strings of a frame,
 * which beats a native call or a byte loop for each, and lone surrogates survive.
 *
 * An object is written as its *shape* (names in order) and its values. A shape is defined where it first occurs and
 * numbered from 0; later objects name it by number, and thousands of alike rows cost their values alone.
 */
export const VERSION = 1;
export const HEADER_BYTES = 6;

/** Shapes in one packed value; objects of further shapes are written with their names each time. */
export const SHAPES_MAX = 64;
/** Fields of a shape; a larger object is a dictionary rather than a row, and unlikely to come twice. */
export const SHAPE_FIELDS_MAX = 64;
/** How deep packed values may nest: also what stops an object that contains itself. */
export const NESTING_MAX = 128;
/** How deep a record's value may nest. Less, so that whatever packs records among other things can do so. */
export const VALUE_NESTING_MAX = 100;
/** The largest packed value; far beyond any message, it stops a list of a billion holes before memory does. */
export const PACKED_BYTES_MAX = 64 * 1024 * 1024;

// 0x00…0x7f: the integer itself
export const NULL = 0x80;
export const UNDEFINED = 0x81;
export const FALSE = 0x82;
export const TRUE = 0x83;
/** int8, int16, int32: 1, 2, 4 bytes. */
export const INT8 = 0x84;
export const INT16 = 0x85;
export const INT32 = 0x86;
/** IEEE double: 8 bytes; every number that is not a 32-bit integer, and −0. */
export const FLOAT64 = 0x87;
/** A bigint of the int64 range: 8 bytes. */
export const BIGINT64 = 0x88;
/** The next string. */
export const STRING = 0x89;
/** A Date: a double, ms since 1970, NaN for an invalid one. */
export const DATE = 0x8a;
/** Count, then so many bytes. */
export const BYTES = 0x8b;
/** Count, then so many values. */
export const ARRAY = 0x8c;
/** Count, then so many keys and values in turn. */
export const MAP = 0x8d;
/** Count, then so many values. */
export const SET = 0x8e;
/** An object with its own names: count, then (next string: name, value) so many times. */
export const DICTIONARY = 0x8f;
/** An object that defines the next shape: count, (next strings: names), then the values. */
export const NEW_SHAPE = 0x90;
/** A bigint beyond the int64 range: the next string, its decimal digits. */
export const BIGINT = 0x91;
/** 0xc0…0xff: an object of the shape with this number, then its values. */
export const SHAPE_0 = 0xc0;
