/** The most read articles of each region and hour. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPipeline } from 'millrace/testing';
import articles from './articles.ts';
import events from './events.ts';

type Top = { region: string; start: number; end: number; top: { article: string; reads: number }[] };

test('each region and hour has its three most read articles, largest first', () => {
  const driver = testPipeline(articles);
  for (const { subject, data } of events) driver.push(subject, data);
  const tops = driver.read<Top>('news.top.*').map(row => row.value);
  assert.deepEqual(
    new Map(tops.map(({ region, top }) => [region, top.map(({ article, reads }) => `${article} ${reads}`)])),
    new Map([
      ['north', ['c 8', 'a 5', 'b 3']],
      ['south', ['a 4', 'e 2']],
    ]),
  );
  assert.ok(tops.every(({ start }) => start === Date.UTC(2026, 2, 2, 8)));
});
