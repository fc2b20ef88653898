/** What a worker tells of the others, as events. */
import type { Change } from '../cluster/members.ts';
import type { Event } from '../observe/events.ts';

const EVENTS = {
  joined: { event: 'member.joined', level: 'info', message: 'it is there' },
  changed: {
    event: 'member.changed',
    level: 'info',
    message: 'it has another zone or capacity, or is draining, or no longer',
  },
  suspect: { event: 'member.suspect', level: 'warn', message: 'it does not answer' },
  well: { event: 'member.well', level: 'info', message: 'it answers again' },
  gone: { event: 'member.gone', level: 'warn', message: 'what it has goes to others' },
  back: { event: 'member.back', level: 'info', message: 'it is back' },
  restarted: { event: 'member.restarted', level: 'info', message: 'another process has its name now' },
  doubled: {
    event: 'member.doubled',
    level: 'warn',
    message: 'another process has its name, too; one of the two ends',
  },
  isolated: {
    event: 'member.isolated',
    level: 'warn',
    message: 'this worker hears nobody, itself included, and calls nobody gone',
  },
  connected: { event: 'member.connected', level: 'info', message: 'this worker hears the others' },
} as const satisfies Record<Change['kind'], Event>;

export function memberEvent(change: Change): Event {
  return {
    ...EVENTS[change.kind],
    ...('name' in change ? { member: change.name } : {}),
    ...('why' in change ? { why: change.why } : {}),
  };
}
