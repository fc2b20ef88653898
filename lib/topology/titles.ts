/**
 * Titles: what is called how when its author gave it no name. State, markers and outboxes are kept by these names, so
 * a title says what a thing *is* and nothing of when it was called or what else there is: then calls may change places,
 * and others come and go, and each still finds what is its own.
 *
 *   source, table    its subject or bucket          shop-order
 *   … of several     its subject and its stream     shop-order-ORDERS_EU
 *   keyBy            its fields, or its sources     by-shop-day, by-key-shop-order
 *   dedupe           its sources                    dedupe-shop-order
 *   join             its right side's sources       join-shop-payment, left-join-shop-payment
 *   join, a table    the table, inner or left       join-shops
 *   window           its shape and key              window-1h-by-shop, session-5m-by-user
 *   process          its key                        process-by-order
 *   to               its template                   to-analytics-hires-site
 *
 * Two that come out alike cannot be told apart, and validate.ts asks for a name. What keeps nothing (`map` and the like)
 * is numbered: its name shows in letters only.
 */
import { durationText } from '../base/duration.ts';
import type { StatefulSpec, WindowSpec } from '../operator/spec.ts';
import { bucketOf, fittedName, nameFor } from '../record/names.ts';
import type { NodeBody, SourceDraft } from './node.ts';

/** What a node's records are made of, as far as titles tell. */
export interface Making {
  /** Names of the sources, sorted, each once. */
  readonly sources: readonly string[];
  /** Name of the `keyBy` that gave the records their key; null: they have none. */
  readonly key: string | null;
}

const NOTHING: Making = { sources: [], key: null };

/** The title of a node whose inputs are made like this, in the order of its ports; null: it is numbered. */
export function titleOf(body: NodeBody, inputs: readonly Making[]): string | null {
  const [first = NOTHING, second = NOTHING] = inputs;
  switch (body.kind) {
    case 'source':
      return sourceTitle(body.source);
    case 'table':
      return nameFor(bucketOf(body.source.subject));
    case 'keyBy':
      return fittedName(`by-${(body.fields ?? ['key', ...first.sources]).join('-')}`);
    case 'dedupe':
      return fittedName(['dedupe', ...first.sources].join('-'));
    case 'stateful':
      return fittedName(statefulTitle(body.spec, first, second));
    case 'sink':
      return nameFor(`to.${String(body.sink.template).replace(/[{}]/g, '')}`);
    case 'stateless':
    case 'merge':
      return null;
  }
}

/** One stream is not told, so that naming the one that was found makes no other source of it. */
function sourceTitle({ subject, stream, streams }: SourceDraft): string {
  return streams.length < 2 ? nameFor(subject) : fittedName(`${nameFor(subject)}-${stream}`);
}

/** What a node's own records are made of, `name` being its name. */
export function makingOf(body: NodeBody, name: string, inputs: readonly Making[]): Making {
  switch (body.kind) {
    case 'source':
    case 'table':
      return { sources: [name], key: null };
    case 'keyBy':
      return { sources: inputs[0]?.sources ?? [], key: name };
    default: {
      const sources = [...new Set(inputs.flatMap(input => input.sources))].sort();
      // What joins shares one key, and so has one stage: its left side says which. What merges has no first.
      const keys = inputs.map(input => input.key).filter(key => key !== null);
      const key = body.kind === 'merge' ? keys.sort()[0] : keys[0];
      return { sources, key: key ?? null };
    }
  }
}

function statefulTitle(spec: StatefulSpec, first: Making, second: Making): string {
  switch (spec.kind) {
    case 'dedupe':
      return ['dedupe', ...first.sources].join('-');
    case 'join':
      return [...(spec.join === 'inner' ? [] : [spec.join]), 'join', ...second.sources].join('-');
    case 'tableJoin':
      return ['join', ...second.sources].join('-');
    case 'window':
      return [...windowTitle(spec.window), first.key ?? 'no-key'].join('-');
    case 'process':
      return `process-${first.key ?? 'no-key'}`;
  }
}

function windowTitle(window: WindowSpec): string[] {
  switch (window.kind) {
    case 'tumbling':
      return ['window', durationText(window.sizeMs), ...moved(window.offsetMs)];
    case 'hopping':
      return [
        'window',
        durationText(window.sizeMs),
        'every',
        durationText(window.advanceMs),
        ...moved(window.offsetMs),
      ];
    case 'session':
      return ['session', durationText(window.gapMs)];
  }
}

function moved(offsetMs: number): string[] {
  return offsetMs === 0 ? [] : ['moved', durationText(offsetMs)];
}
