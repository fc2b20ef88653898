/**
 * One working day of the two services, the same every time: 60 people start between eight and four, every tenth gets no
 * badge in time, every fifth event is sent twice, and the two services run up to eight minutes late. In the
 * evening one more person starts, so that event time goes on and the windows of the day close.
 */
import type { Message } from './publish.ts';

const DAY_MS = Date.UTC(2025, 0, 6);
const MINUTE_MS = 60_000;
const SITES = ['berlin', 'dublin', 'lisbon'];
const HIRES = 60;
const EVENING_MINUTES = 22 * 60;
const LATE_MINUTES_MAX = 8;

export function day(): Message[] {
  const sent: (Message & { atMinute: number })[] = [];
  const tell = (subject: string, id: number, minute: number, more: object) => {
    const at = new Date(DAY_MS + minute * MINUTE_MS).toISOString();
    const event = { eventId: `${subject}/${id}`, employee: `e${id}`, ...more, at };
    const message = { subject, text: JSON.stringify(event) };
    sent.push({ ...message, atMinute: minute + ((id * 7) % (LATE_MINUTES_MAX + 1)) });
    if (id % 5 === 0) sent.push({ ...message, atMinute: minute + LATE_MINUTES_MAX });
  };
  const hire = (id: number, minute: number) => {
    tell('hr.employee.provisioned', id, minute, { name: `Person ${id}`, site: SITES[id % SITES.length] });
    // Badges take from five minutes to an hour and a half; every tenth is forgotten until half an hour too late.
    const badgeMinute = minute + (id % 10 === 9 ? 150 : 5 + ((id * 13) % 85));
    tell('access.badge.issued', id, badgeMinute, { badge: `B-${1000 + id}` });
  };
  for (let id = 0; id < HIRES; id++) hire(id, 8 * 60 + id * 8);
  hire(HIRES, EVENING_MINUTES);
  return sent.sort((a, b) => a.atMinute - b.atMinute).map(({ subject, text }) => ({ subject, text }));
}
