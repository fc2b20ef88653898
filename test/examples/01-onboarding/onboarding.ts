/**
 * The first pipeline. Personnel (hr) provisions an employee, facilities (access) issues a badge: two services, two streams
 * of events, each sent at least once. What comes out: every employee with the badge, or without one when none was
 * issued within two hours; and how many people started at each site in each hour.
 */
import { count, pipeline, tumbling } from 'millrace';

type Provisioned = { eventId: string; employee: string; name: string; site: string; at: string };
type BadgeIssued = { eventId: string; employee: string; badge: string; at: string };

export default pipeline('onboarding', ({ from }) => {
  const options = { time: 'at', maxOutOfOrder: '10m', capture: true } as const;
  const hires = from<Provisioned>('hr.employee.provisioned', options)
    .dedupe({ id: event => event.eventId, within: '1d' })
    .keyBy('employee');
  const badges = from<BadgeIssued>('access.badge.issued', options)
    .dedupe({ id: event => event.eventId, within: '1d' })
    .keyBy('employee');

  const employees = hires.leftJoin(badges, { within: { after: '2h' } }, (hire, badge) => {
    return { employee: hire.employee, name: hire.name, site: hire.site, badge: badge?.badge ?? null };
  });
  employees.to('onboarding.employees.{partition}');
  employees.filter(row => row.badge === null).to('onboarding.unbadged.{site}');
  employees.keyBy('site').window(tumbling('1h')).aggregate({ hires: count() }).to('analytics.hires.{site}');
});
