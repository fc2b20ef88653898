/** The letters in messages of their stream, however many of them share one. */
import type { StoredMessage } from '../../lib/port/log.ts';
import { unpackLetters } from '../../lib/record/letter-group.ts';

export type FoundLetter = Omit<StoredMessage, 'headers'> & { readonly headers: Readonly<Record<string, string>> };

export function lettersOf(messages: readonly StoredMessage[]): FoundLetter[] {
  return messages
    .filter(({ subject }) => subject.startsWith('millrace.'))
    .flatMap(message => unpackLetters(message).map(({ headers, bytes: data }) => ({ ...message, headers, data })));
}
