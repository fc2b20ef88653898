/**
 * What a header survives: the rules that every log adapter keeps, in one place, so that a header read back can be
 * compared with the one that was sent. And the one way to read a header that somebody else may have written.
 *
 * A value is one line: CR and LF become a blank, and outer blanks are not part of it. (An error text of a user's
 * function may hold anything; refusing it would lose the message that it explains.) Names are as given, case included.
 */
import type { Headers } from './log.ts';

const BREAKS = /[\r\n]+/g;
const BLANK = 32;
const DELETE = 127;

/** The value as it will be read back. */
export function headerValue(value: string): string {
  // Most are a word, and to see that costs less than to look for what is not in it.
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code <= BLANK || code >= DELETE) return value.replace(BREAKS, ' ').trim();
  }
  return value;
}

/** Names and values of the headers that were asked last: several are asked of one message after the other. */
let asked: Headers | null = null;
let names: string[] = [];
let values: string[] = [];

/**
 * A header that others may have written, whatever the case of its name: NATS keeps it as it was sent, and gateways from HTTP
 * change it. Of a name that is there twice the first counts. Null: there is none.
 */
export function headerOf(headers: Headers | null, name: Lowercase<string>): string | null {
  if (headers === null) return null;
  if (headers !== asked) {
    // Once for all: to list the names of such an object costs more than to compare them.
    asked = headers;
    names = Object.keys(headers);
    values = Object.values(headers);
  }
  for (let i = 0; i < names.length; i++) {
    const given = names[i]!;
    if (given === name || (given.length === name.length && given.toLowerCase() === name)) return values[i]!;
  }
  return null;
}

/** The header in which a message names its predecessor in a chain; stored with the message. */
export const EXPECT_HEADER = 'Nats-Expected-Last-Subject-Sequence';
