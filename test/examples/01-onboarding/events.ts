/**
 * One working day of the four services, the same every time: 60 people start between eight and four. Every tenth gets the
 * badge half an hour too late, every twelfth no laptop; every fifth event is sent twice, and the services run up to eight
 * minutes late. Early next morning all four have told everything, so nothing of the day waits any more.
 */
import type { Message } from '../publish.ts';

const DAY_MS = Date.UTC(2025, 0, 6);
const MINUTE_MS = 60_000;
const SITES = ['berlin', 'dublin', 'lisbon'];
const HIRES = 60;
const LATE_MINUTES_MAX = 8;

function day(): Message[] {
  const sent: (Message & { atMinute: number })[] = [];
  const tell = (subject: string, id: number, minute: number, data: object) => {
    sent.push({ subject, data, atMinute: minute + ((id * 7) % (LATE_MINUTES_MAX + 1)) });
    if (id % 5 === 0) sent.push({ subject, data, atMinute: minute + LATE_MINUTES_MAX });
  };
  const hire = (id: number, minute: number) => {
    const employee = `e${id}`;
    const timeMs = (later: number) => DAY_MS + (minute + later) * MINUTE_MS;
    const iso = (later: number) => new Date(timeMs(later)).toISOString();
    const site = SITES[id % SITES.length];
    tell('hr.employee.provisioned', id, minute, {
      eventId: `hr/${id}`,
      employee,
      name: `Person ${id}`,
      site,
      at: iso(0),
    });
    const opened = 20 + ((id * 11) % 40);
    tell('payroll.account.opened', id, minute + opened, {
      id: 5000 + id,
      staffNo: employee,
      account: `P-${id}`,
      openedAt: iso(opened),
    });
    const issued = id % 10 === 9 ? 150 : 5 + ((id * 13) % 85);
    tell('access.badge.issued', id, minute + issued, {
      eventId: `access/${id}`,
      holder: employee,
      badge: `B-${1000 + id}`,
      at: iso(issued),
    });
    if (id % 12 === 7) return;
    const assigned = (id * 17) % 120;
    tell('it.laptop.assigned', id, minute + assigned, {
      ticket: `IT-${id}`,
      user: { employee },
      asset: `L-${id}`,
      ts: timeMs(assigned) / 1000,
    });
  };
  for (let id = 0; id < HIRES; id++) hire(id, 8 * 60 + id * 8);
  return sent.sort((a, b) => a.atMinute - b.atMinute).map(({ subject, data }) => ({ subject, data }));
}

export default day();

/** Three joins, one behind the other, wait for four hours each. */
export const complete = '2025-01-07T05:00:00Z';
