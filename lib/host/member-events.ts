/** What a worker tells of the others, as events. */
import type { Change } from '../cluster/members.ts';
import type { Event } from '../observe/events.ts';

const TEXTS = {
  joined: ['info', 'it is there'],
  changed: ['info', 'it has another zone or capacity, or is draining, or no longer'],
  suspect: ['warn', 'it does not answer'],
  well: ['info', 'it answers again'],
  gone: ['warn', 'what it has goes to others'],
  back: ['info', 'it is back'],
  restarted: ['info', 'another process has its name now'],
  doubled: ['warn', 'another process has its name, too: one of the two ends'],
  isolated: ['warn', 'this worker hears nobody, itself included, and calls nobody gone'],
  connected: ['info', 'this worker hears the others'],
} as const satisfies Record<Change['kind'], readonly ['info' | 'warn', string]>;

export function memberEvent(change: Change): Event {
  const [level, message] = TEXTS[change.kind];
  const who = 'name' in change ? { member: change.name } : {};
  return { event: `member.${change.kind}`, level, ...who, ...('why' in change ? { why: change.why } : {}), message };
}
