/**
 * Text that may be shown: records, subjects and headers are anybody's, and a terminal obeys what it is shown. Control
 * characters, and those that turn the direction of a line, are told by their number instead, as JSON tells them, so that JSON
 * stays what it is. Newlines and tabs stay.
 */
const TO_BE_TOLD = /(?![\n\t])[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

export function printable(text: string): string {
  return text.replace(TO_BE_TOLD, told);
}

/** The same in one line. */
export function printableLine(text: string): string {
  return printable(text).replace(/[\n\t]/g, char => (char === '\n' ? '\\n' : '\\t'));
}

function told(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
