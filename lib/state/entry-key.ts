/**
 * Where the record's key is in an entry's key, as data: a table declares its form, and whoever takes a state apart by key
 * groups needs no operator for it. Operators write their entries' keys with what is here. FROZEN, as the tables are.
 *
 *   key           the record's key alone, encoded (`record/key.ts`)
 *   key-and-id    the record's key and an id of it, or the id alone where that is the key (`writeMark`)
 *   name-and-key  a name and the record's key (`writeTimerId`)
 *   task          no key: the entry is about the task, so about a range of key groups (`groupsOfTaskEntry`)
 */
import { KEY_GROUPS, keyGroupOf } from '../base/hash.ts';

export type EntryKeyForm = 'key' | 'key-and-id' | 'name-and-key' | 'task';

/** Key groups from the first one up to, and without, the second. */
export interface GroupRange {
  readonly from: number;
  readonly to: number;
}

/** A task's own entry, as the task writes it. */
export const ALL_KEYS = '*';
const WHOLE: GroupRange = { from: 0, to: KEY_GROUPS };

/** The key group of an entry of a table; null: it is the task's own. */
export function keyGroupOfEntry({ key: form }: { readonly key: EntryKeyForm }, entryKey: string): number | null {
  switch (form) {
    case 'key':
      return keyGroupOf(entryKey);
    case 'key-and-id': {
      const { key } = readMark(entryKey);
      // Records without a key go to partition 0, of however many: the one that has group 0.
      return key === null ? 0 : keyGroupOf(key);
    }
    case 'name-and-key':
      return keyGroupOf(readTimerId(entryKey).key);
    case 'task':
      return null;
  }
}

/** No key that is encoded begins with it, so what does cannot be an id that is the key. */
const PAIR = '\u0000';

/** Key and id in one text: how long the key is, in one unit, says where the id begins. The id alone where it is the key. */
export function writeMark(key: string | null, id: string): string {
  if (key === id) return id;
  return key === null ? `${PAIR}\u0000${id}` : PAIR + String.fromCharCode(key.length + 1) + key + id;
}

/** What `writeMark` wrote: the record's key, encoded, or null where it had none; and the id. */
export function readMark(mark: string): { readonly key: string | null; readonly id: string } {
  if (!mark.startsWith(PAIR)) return { key: mark, id: mark };
  const end = 1 + mark.charCodeAt(1);
  return end === 1 ? { key: null, id: mark.slice(2) } : { key: mark.slice(2, end), id: mark.slice(end) };
}

/** Name and key in one text: the name's length says where the key begins. */
export function writeTimerId(name: string, key: string): string {
  return `${name.length}:${name}${key}`;
}

export function readTimerId(id: string): { readonly name: string; readonly key: string } {
  const colon = id.indexOf(':');
  const end = colon + 1 + Number(id.slice(0, colon));
  return { name: id.slice(colon + 1, end), key: id.slice(end) };
}

/** The groups that a task's own entry is about; null: all that the task has. */
export function groupsOfTaskEntry(entryKey: string): GroupRange | null {
  const range = /:(\d+)-(\d+)$/.exec(entryKey);
  return range === null ? null : { from: Number(range[1]), to: Number(range[2]) };
}

/**
 * What a task's own entry is called in a task that has only some of its groups; null: it has none. Each cut adds the groups
 * that are left, so that two entries of one task, and those of several, never come to one name.
 */
export function narrowTaskEntry(entryKey: string, groups: GroupRange): string | null {
  const about = groupsOfTaskEntry(entryKey) ?? WHOLE;
  const from = Math.max(about.from, groups.from);
  const to = Math.min(about.to, groups.to);
  return from < to ? `${entryKey}:${from}-${to}` : null;
}
