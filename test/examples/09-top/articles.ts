/**
 * The three most read articles of each region and hour. Two windows, one behind the other: the first counts each article,
 * the second has one row for each article of its region and takes the largest.
 */
import { count, pipeline, topN, tumbling } from 'millrace';

type Read = { region: string; article: string; at: string };

export default pipeline('articles', ({ from }) => {
  from<Read>('news.article.read', { time: 'at', maxOutOfOrder: '1m', capture: true })
    .keyBy('region', 'article')
    .window(tumbling('1h'))
    .aggregate({ reads: count() })
    .keyBy('region')
    .window(tumbling('1h'))
    .aggregate({ top: topN(({ article, reads }) => ({ article, reads }), { n: 3, by: row => row.reads }) })
    .to('news.top.{region}');
});
