/** The first pipeline, without a broker: how an author tests one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPipeline } from 'millrace/testing';
import day, { complete } from './events.ts';
import onboarding from './onboarding.ts';

const ada = { eventId: 'h1', employee: 'e1', name: 'Ada', site: 'berlin', at: '2026-03-02T08:00:00Z' };
const account = { id: 17, staffNo: 'e1', account: 'P-1', openedAt: '2026-03-02T08:20:00Z' };
const badge = { eventId: 'b1', holder: 'e1', badge: 'B-1', at: '2026-03-02T08:30:00Z' };
const laptop = { ticket: 'IT-1', user: { employee: 'e1' }, asset: 'L-1', ts: Date.UTC(2026, 2, 2, 9) / 1000 };

test('the events of four services become one record, in whatever order and however often they come', () => {
  const driver = testPipeline(onboarding);
  for (let times = 0; times < 2; times++) {
    driver.push('it.laptop.assigned', laptop);
    driver.push('access.badge.issued', badge);
    driver.push('hr.employee.provisioned', ada);
    driver.push('payroll.account.opened', account);
  }
  assert.deepEqual(
    driver.read('onboarding.employees.*').map(row => row.value),
    [{ employee: 'e1', name: 'Ada', site: 'berlin', account: 'P-1', badge: 'B-1', laptop: 'L-1' }],
  );
  assert.deepEqual(driver.dropped, { duplicate: 4 });
  driver.finish();
  assert.deepEqual(driver.read(), [], 'nobody is missing a badge');
});

test('who has no badge after two hours is an alert, and not before', () => {
  const driver = testPipeline(onboarding);
  driver.push('hr.employee.provisioned', ada);
  driver.advance('2h10m');
  assert.deepEqual(driver.read('onboarding.unbadged.*'), []);
  driver.advance('11s');
  const [alert] = driver.read<typeof ada>('onboarding.unbadged.*');
  assert.equal(alert?.subject, 'onboarding.unbadged.berlin');
  assert.equal(alert?.value.name, 'Ada');
});

test('what never comes is null in the record', () => {
  const driver = testPipeline(onboarding);
  driver.push('hr.employee.provisioned', ada);
  driver.push('access.badge.issued', badge);
  driver.finish();
  assert.deepEqual(
    driver.read('onboarding.employees.*').map(row => row.value),
    [{ employee: 'e1', name: 'Ada', site: 'berlin', account: null, badge: 'B-1', laptop: null }],
  );
});

test('a day of it, published twice, gives what one would compute over all its events as over tables', () => {
  const driver = testPipeline(onboarding);
  const subjects = new Set(day.map(({ subject }) => subject));
  for (let times = 0; times < 2; times++) {
    for (const { subject, data } of day) driver.push(subject, data);
    for (const subject of subjects) driver.push(subject, '', { headers: { 'Millrace-Complete': complete } });
  }
  const of = <T>(wanted: string) => day.filter(({ subject }) => subject === wanted).map(({ data }) => data as T);
  const hires = new Map(of<typeof ada>('hr.employee.provisioned').map(event => [event.employee, event]));
  const accounts = of<typeof account>('payroll.account.opened');
  const badges = of<typeof badge>('access.badge.issued');
  const laptops = of<typeof laptop>('it.laptop.assigned');
  const records = Array.from(hires.values(), ({ employee, name, site }) => ({
    laptop: laptops.find(({ user }) => user.employee === employee)?.asset ?? null,
    badge: badges.find(({ holder }) => holder === employee)?.badge ?? null,
    account: accounts.find(({ staffNo }) => staffNo === employee)?.account ?? null,
    employee,
    name,
    site,
  }));
  const unbadged = Array.from(hires.values()).filter(({ employee, at }) => {
    const issued = badges.find(({ holder }) => holder === employee);
    return issued === undefined || Date.parse(issued.at) > Date.parse(at) + 2 * 3_600_000;
  });
  const texts = (rows: readonly unknown[]) => rows.map(row => JSON.stringify(row)).sort();
  const values = (subject: string) => texts(driver.read(subject).map(row => row.value));
  assert.deepEqual(values('onboarding.employees.*'), texts(records));
  assert.deepEqual(values('onboarding.unbadged.*'), texts(unbadged));
  assert.ok(
    unbadged.length > 3 && records.some(({ laptop }) => laptop === null),
    'the day has something of everything',
  );
  assert.deepEqual([driver.late(), driver.dead()], [[], []]);
});
