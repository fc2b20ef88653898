/** Reads of five articles in two regions within an hour, then one of each region later, so that the hour closes. */
import type { Message } from '../publish.ts';

const READS: readonly (readonly [region: string, article: string, times: number])[] = [
  ['north', 'a', 5],
  ['north', 'b', 3],
  ['north', 'c', 8],
  ['north', 'd', 1],
  ['south', 'e', 2],
  ['south', 'a', 4],
];

const read = (region: string, article: string, at: string): Message => {
  return { subject: 'news.article.read', data: { region, article, at } };
};

export default [
  ...READS.flatMap(([region, article, times]) =>
    Array.from({ length: times }, (_, i) => read(region, article, `2026-03-02T08:${10 + i}:00Z`)),
  ),
  read('north', 'a', '2026-03-02T10:30:00Z'),
  read('south', 'a', '2026-03-02T10:30:00Z'),
];
