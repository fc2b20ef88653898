/**
 * StateService: what the operators of a running pipeline remember. It is in the memory and the
 * store of the workers that have its tasks, which the one that leads asks for it.
 */
import type { Commands } from '../service/commands.ts';
import type { Handlers } from './calls.ts';
import { entryToWire, keyFromJson } from './messages.ts';

type Methods = 'ListTables' | 'GetEntries' | 'ScanEntries';

const PAGE_SIZE = 100;
const PARTITIONS = { min: 0, max: 2 ** 31 - 1 };

export function stateHandlers(commands: Commands): Handlers<Methods> {
  return {
    ListTables: {
      active: 'only',
      check: (checks, { pipeline }) => void checks.name(pipeline, 'pipeline'),
      async answer({ pipeline }, _, caller) {
        const state = await commands.as(caller).state(pipeline);
        return { tables: [...(await state.tables())] };
      },
    },
    GetEntries: {
      active: 'only',
      check: (checks, { pipeline, operator, keyJson }) =>
        void checks.name(pipeline, 'pipeline').name(operator, 'operator').key(keyJson),
      async answer({ pipeline, operator, keyJson }, _, caller) {
        const state = await commands.as(caller).state(pipeline);
        const entries = await state.get({ operator, key: keyFromJson(keyJson) ?? null });
        return { entries: entries.map(entryToWire) };
      },
    },
    ScanEntries: {
      active: 'only',
      check(checks, request) {
        checks.name(request.pipeline, 'pipeline').name(request.operator, 'operator').nameOrAll(request.table, 'table');
        checks.whole(request.partition ?? 0, 'partition', PARTITIONS).page(request);
      },
      async answer({ pipeline, operator, table, partition, pageSize, pageToken }, _, caller) {
        const state = await commands.as(caller).state(pipeline);
        const { items, nextPageToken } = await state.scan({
          operator,
          table: table || null,
          partition: partition ?? null,
          pageSize: pageSize || PAGE_SIZE,
          pageToken: pageToken || null,
        });
        return { entries: items.map(entryToWire), nextPageToken: nextPageToken ?? '' };
      },
    },
  };
}
