/** Ann comes twice, Bob once. A last view, hours later, lets event time pass the end of their visits. */
import type { Message } from '../publish.ts';

const VIEWS: readonly (readonly [visitor: string, page: string, time: string])[] = [
  ['ann', '/', '08:00:00'],
  ['bob', '/prices', '08:10:00'],
  ['ann', '/docs', '08:20:30'],
  ['ann', '/prices', '08:20:00'],
  ['bob', '/signup', '08:40:00'],
  ['ann', '/docs', '09:15:00'],
  ['cid', '/', '12:00:00'],
];

export default VIEWS.map(
  ([visitor, page, time]): Message => ({
    subject: 'web.page.viewed',
    data: { visitor, page, at: `2026-03-02T${time}Z` },
  }),
);
