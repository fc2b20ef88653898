/**
 * Window shapes as authors write them. Durations stay as written until `window()` reads them, so that a mistake in
 * one is reported with the operator's name and place.
 */
import { type Duration, durationText } from '../base/duration.ts';
import type { WindowSpec } from '../operator/spec.ts';
import { shown } from '../operator/user-code.ts';
import { HOPS_MAX, hopsOf } from '../window/windows.ts';
import type { Graph } from './graph.ts';
import { DURATION, judged, needed } from './options.ts';

/** What `tumbling`, `hopping` and `session` give. */
export type WindowShape =
  | { readonly kind: 'tumbling'; readonly size: Duration; readonly options: TumblingOptions | undefined }
  | { readonly kind: 'hopping'; readonly options: HoppingOptions }
  | { readonly kind: 'session'; readonly gap: Duration };

/** How windows side by side lie. */
export interface TumblingOptions {
  /** By how much they are moved against 1970-01-01T00:00Z. Default 0. */
  readonly offset?: Duration;
}

/** How windows that overlap lie. */
export interface HoppingOptions extends TumblingOptions {
  /** How long each is. */
  readonly size: Duration;
  /** How much later than one the next begins. */
  readonly advance: Duration;
}

/** Windows side by side: each event belongs to one. Aligned to 1970-01-01T00:00Z, moved by `offset`. */
export function tumbling(size: Duration, options?: TumblingOptions): WindowShape {
  return { kind: 'tumbling', size, options };
}

/** Windows of `size`, one beginning every `advance`: each event belongs to size ÷ advance of them. */
export function hopping(options: HoppingOptions): WindowShape {
  return { kind: 'hopping', options };
}

/** Activity without a pause longer than `gap`: events of a key at most `gap` apart share a session. */
export function session(gap: Duration): WindowShape {
  return { kind: 'session', gap };
}

/** The shape in ms, aligned within one advance; mistakes are noted. */
export function windowSpec(graph: Graph, shape: WindowShape): WindowSpec {
  switch (shape?.kind) {
    case 'tumbling': {
      const { offset = 0 } = judged(graph, 'tumbling', shape.options, TUMBLING);
      const sizeMs = graph.length(shape.size, 'window size');
      return { kind: 'tumbling', sizeMs, offsetMs: graph.duration(offset, 'offset') % sizeMs };
    }
    case 'hopping': {
      const { size = 1, advance = 1, offset = 0 } = judged(graph, 'hopping', shape.options ?? {}, HOPPING);
      const sizeMs = graph.length(size, 'window size');
      const advanceMs = graph.length(advance, 'window advance');
      if (advanceMs > sizeMs) {
        graph.note(
          `a window of ${size} that advances by ${advance} leaves out what lies between: let size be at least advance`,
        );
      }
      const hops = hopsOf({ sizeMs, advanceMs });
      if (hops > HOPS_MAX) {
        const least = durationText(Math.ceil(sizeMs / HOPS_MAX));
        graph.note(
          `windows of ${size} every ${advance}: each record would be in ${hops} results, more than HOPS_MAX (${HOPS_MAX}); let advance be at least ${least}, or size be less`,
        );
      }
      return { kind: 'hopping', sizeMs, advanceMs, offsetMs: graph.duration(offset, 'offset') % advanceMs };
    }
    case 'session':
      return { kind: 'session', gapMs: graph.length(shape.gap, 'session gap') };
    default:
      graph.note(`window takes tumbling(…), hopping(…) or session(…), not ${shown(shape)}`);
      return { kind: 'tumbling', sizeMs: 1, offsetMs: 0 };
  }
}

const TUMBLING = { offset: DURATION };
const HOPPING = { ...TUMBLING, size: needed(DURATION), advance: needed(DURATION) };
