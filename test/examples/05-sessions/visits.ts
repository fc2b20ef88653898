/**
 * Sessions: page views of a visitor at most half an hour apart are one visit, in whatever order they come.
 */
import { count, first, last, pipeline, session } from 'millrace';

type View = { visitor: string; page: string; at: string };

export default pipeline('visits', ({ from }) => {
  from<View>('web.page.viewed', { time: 'at', maxOutOfOrder: '1m', capture: true })
    .keyBy('visitor')
    .window(session('30m'))
    .aggregate({ views: count(), entry: first(view => view.page), exit: last(view => view.page) })
    .to('web.visits.{partition}');
});
