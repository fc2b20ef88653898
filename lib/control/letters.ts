/**
 * LetterService: dead letters and late records. They are in a stream of the broker, so any worker can read, replay and
 * discard them.
 */
import type { Letters } from '../service/views.ts';
import type { Handlers } from './calls.ts';
import { filterFromWire, letterToWire } from './messages.ts';
import type { FilterWire } from './wire.ts';

type Methods = 'ListLetters' | 'GetLetter' | 'ReplayLetters' | 'DiscardLetters';

const PAGE_SIZE = 100;

const filterOf = (filter: FilterWire | null) => filterFromWire(filter as FilterWire);

export function letterHandlers(letters: Letters): Handlers<Methods> {
  return {
    ListLetters: {
      check: (checks, request) => void checks.filter(request.filter).page(request),
      async answer({ filter, pageSize, pageToken, content }) {
        const page = { pageSize: pageSize || PAGE_SIZE, pageToken: pageToken || null, content };
        const { items, nextPageToken, total, forged } = await letters.list(filterOf(filter), page);
        return { letters: items.map(letterToWire), nextPageToken: nextPageToken ?? '', total, forged };
      },
    },
    GetLetter: {
      check: (checks, { pipeline, number }) =>
        void checks.name(pipeline, 'pipeline').whole(number, 'number', { min: 1, max: Number.MAX_SAFE_INTEGER }),
      answer: async ({ pipeline, number }) => ({ letter: letterToWire(await letters.get(pipeline, number)) }),
    },
    ReplayLetters: {
      check: (checks, { filter, toSubject }) => void checks.filter(filter).subjectOrNone(toSubject, 'to_subject'),
      async *answer({ filter, toSubject, dryRun, keep }) {
        const all = letters.replay(filterOf(filter), { toSubject: toSubject || null, dryRun, keep });
        for await (const progress of all) yield { ...progress, reasons: [...progress.reasons] };
      },
    },
    DiscardLetters: {
      check: (checks, { filter }) => void checks.filter(filter),
      async *answer({ filter, dryRun }) {
        for await (const progress of letters.discard(filterOf(filter), { dryRun })) yield { ...progress };
      },
    },
  };
}
