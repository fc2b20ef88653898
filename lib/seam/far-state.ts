/**
 * State that is read from afar: a reader's calls as questions, which are plain data, and the answers to them.
 */
import type { EntryView, Page, StateReader, TableView } from '../engine/views.ts';
import type { Question } from './messages.ts';

/** @param ask throws what the other side has thrown, and WORKER_UNAVAILABLE. */
export function farState(ask: (question: Question) => Promise<unknown>): StateReader {
  return {
    tables: async () => (await ask({ what: 'tables' })) as readonly TableView[],
    get: async options => (await ask({ what: 'get', ...options })) as readonly EntryView[],
    scan: async options => (await ask({ what: 'scan', ...options })) as Page<EntryView>,
  };
}

export function answerState(state: StateReader, question: Question): Promise<unknown> {
  switch (question.what) {
    case 'tables':
      return state.tables();
    case 'get':
      return state.get(question);
    case 'scan':
      return state.scan(question);
  }
}
