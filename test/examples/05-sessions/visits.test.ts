/** Page views become visits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPipeline } from 'millrace/testing';
import events from './events.ts';
import visits from './visits.ts';

type Visit = { visitor: string; views: number; entry: string; exit: string };

test('views at most half an hour apart are one visit', () => {
  const driver = testPipeline(visits);
  for (const { subject, data } of events) driver.push(subject, data);
  const rows = driver.read<Visit>('web.visits.*').map(({ value: { visitor, views, entry, exit } }) => {
    return { visitor, views, entry, exit };
  });
  assert.deepEqual(
    rows.sort((a, b) => a.visitor.localeCompare(b.visitor) || b.views - a.views),
    [
      { visitor: 'ann', views: 3, entry: '/', exit: '/docs' },
      { visitor: 'ann', views: 1, entry: '/docs', exit: '/docs' },
      { visitor: 'bob', views: 2, entry: '/prices', exit: '/signup' },
    ],
  );
});

test('a view that comes between two visits makes them one', () => {
  const driver = testPipeline(visits);
  const view = (time: string) =>
    driver.push('web.page.viewed', { visitor: 'ann', page: '/', at: `2026-03-02T${time}Z` });
  view('08:00:00');
  view('08:00:50');
  view('08:00:20');
  driver.finish();
  assert.deepEqual(
    driver.read<Visit>().map(row => row.value.views),
    [3],
  );
});
