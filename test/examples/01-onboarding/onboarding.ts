/**
 * The first pipeline. Personnel (hr) provisions an employee; payroll, building access and IT each react: four services,
 * four kinds of events of different shapes, each sent at least once. What comes out: one record for every employee, and
 * an alert for whoever has no badge two hours after being provisioned.
 */
import { pipeline } from 'millrace';

type Provisioned = { eventId: string; employee: string; name: string; site: string; at: string };
type AccountOpened = { id: number; staffNo: string; account: string; openedAt: string };
type BadgeIssued = { eventId: string; holder: string; badge: string; at: string };
type LaptopAssigned = { ticket: string; user: { employee: string }; asset: string; ts: number };

export default pipeline('onboarding', ({ from }) => {
  const options = { maxOutOfOrder: '10m', capture: true } as const;
  const within = '1d';
  const hires = from<Provisioned>('hr.employee.provisioned', { time: 'at', ...options })
    .dedupe({ id: event => event.eventId, within })
    .keyBy('employee');
  const accounts = from<AccountOpened>('payroll.account.opened', { time: 'openedAt', ...options })
    .dedupe({ id: event => String(event.id), within })
    .keyBy('staffNo');
  const badges = from<BadgeIssued>('access.badge.issued', { time: 'at', ...options })
    .dedupe({ id: event => event.eventId, within })
    .keyBy('holder');
  const laptops = from<LaptopAssigned>('it.laptop.assigned', { time: event => event.ts * 1000, ...options })
    .dedupe({ id: event => event.ticket, within })
    .keyBy(event => event.user.employee);

  hires
    .map(({ employee, name, site }) => ({ employee, name, site }))
    .leftJoin(accounts, { within: '4h' }, (row, opened) => ({ account: opened?.account ?? null, ...row }))
    .leftJoin(badges, { within: '4h' }, (row, issued) => ({ badge: issued?.badge ?? null, ...row }))
    .leftJoin(laptops, { within: '4h' }, (row, assigned) => ({ laptop: assigned?.asset ?? null, ...row }))
    .to('onboarding.employees.{partition}');
  hires.antiJoin(badges, { within: { after: '2h' } }).to('onboarding.unbadged.{site}');
});
