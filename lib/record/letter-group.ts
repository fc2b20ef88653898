/**
 * Many letters in one message. What all of them have in common is the message's headers; its content is MessagePack:
 *
 *   [{ <header>: [value or null, …], … }, [content, …]]
 *
 * a column for each header in which they differ, an item a letter, and then the contents. `Millrace-Letters` says how many
 * there are; a message without it is one letter, whose content is its own. So a letter is the same either way: headers and
 * a content, under the subject of its operator.
 *
 * Letters are numbered by their message and their place in it: `NUMBERS_A_MESSAGE` times the sequence, and the index.
 */
import { Packr, Unpackr } from 'msgpackr';
import type { Headers, StoredMessage } from '../port/log.ts';

export const HEADER_LETTERS = 'Millrace-Letters';
/** Letters that a message may have. */
export const LETTERS_A_MESSAGE_MAX = 1000;
const NUMBERS_A_MESSAGE = LETTERS_A_MESSAGE_MAX;

/** What a letter takes in a message beside its headers and content, and a value beside its text. */
export const LETTER_BYTES = 8;
export const VALUE_BYTES = 5;

export interface LetterText {
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, copyBuffers: true });

export function numberOf(seq: number, index: number): number {
  return seq * NUMBERS_A_MESSAGE + index;
}

export function placeOf(number: number): { readonly seq: number; readonly index: number } {
  return { seq: Math.floor(number / NUMBERS_A_MESSAGE), index: number % NUMBERS_A_MESSAGE };
}

/** How many letters a message has, as it says. */
export function lettersIn(headers: Headers | null): number {
  const count = Number(headers?.[HEADER_LETTERS] ?? 1);
  return Number.isSafeInteger(count) && count >= 1 && count <= LETTERS_A_MESSAGE_MAX ? count : 1;
}

/** Letters of one subject as one message, two or more. */
export function packLetters(letters: readonly LetterText[]): LetterText {
  const names = new Set<string>();
  for (const { headers } of letters) for (const name in headers) names.add(name);
  const common: Record<string, string> = { [HEADER_LETTERS]: String(letters.length) };
  const columns: Record<string, (string | null)[]> = {};
  for (const name of names) {
    const first = letters[0]!.headers[name];
    if (first !== undefined && letters.every(({ headers }) => headers[name] === first)) common[name] = first;
    else columns[name] = letters.map(({ headers }) => headers[name] ?? null);
  }
  return { headers: common, bytes: packr.pack([columns, letters.map(({ bytes }) => bytes)]) };
}

/** The letters of a message whose seal is right. */
export function unpackLetters({ headers, data }: Pick<StoredMessage, 'headers' | 'data'>): LetterText[] {
  const { [HEADER_LETTERS]: count, ...common } = headers ?? {};
  if (count === undefined) return [{ headers: common, bytes: data }];
  const [columns, contents] = unpackr.unpack(data) as [Record<string, (string | null)[]>, Uint8Array[]];
  return contents.map((bytes, i) => {
    const own: Record<string, string> = { ...common };
    for (const name in columns) {
      const value = columns[name]![i];
      if (value != null) own[name] = value;
    }
    return { headers: own, bytes };
  });
}
