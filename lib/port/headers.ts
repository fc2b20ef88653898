/**
 * What a header survives: the rules that every log adapter keeps, in one place, so that a header read back can be
 * compared with the one that was sent.
 *
 * A value is one line: CR and LF become a blank, and outer blanks are not part of it. (An error text of a user's
 * function may hold anything; refusing it would lose the message that it explains.) Names are as given, case included.
 */
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

/** The header in which a message names its predecessor in a chain; stored with the message. */
export const EXPECT_HEADER = 'Nats-Expected-Last-Subject-Sequence';
