/**
 * Window shapes as authors write them. Durations stay as written until `window()` reads them, so that a mistake in
 * one is reported with the operator's name and place.
 */
import type { Duration } from '../base/duration.ts';
import type { WindowSpec } from '../operator/spec.ts';
import type { Graph } from './graph.ts';

/** What `tumbling`, `hopping` and `session` give. */
export type WindowShape =
  | { readonly kind: 'tumbling'; readonly size: Duration; readonly offset: Duration }
  | { readonly kind: 'hopping'; readonly size: Duration; readonly advance: Duration; readonly offset: Duration }
  | { readonly kind: 'session'; readonly gap: Duration };

/** Windows side by side: each event belongs to one. Aligned to 1970-01-01T00:00Z, moved by `offset`. */
export function tumbling(size: Duration, options: { readonly offset?: Duration } = {}): WindowShape {
  return { kind: 'tumbling', size, offset: options.offset ?? 0 };
}

/** Windows of `size`, one beginning every `advance`: each event belongs to size ÷ advance of them. */
export function hopping(options: {
  readonly size: Duration;
  readonly advance: Duration;
  readonly offset?: Duration;
}): WindowShape {
  return { kind: 'hopping', size: options.size, advance: options.advance, offset: options.offset ?? 0 };
}

/** Activity without a pause longer than `gap`: events of a key at most `gap` apart share a session. */
export function session(gap: Duration): WindowShape {
  return { kind: 'session', gap };
}

/** The shape in ms, aligned within one advance; mistakes are noted. */
export function windowSpec(graph: Graph, shape: WindowShape): WindowSpec {
  switch (shape.kind) {
    case 'tumbling': {
      const sizeMs = graph.length(shape.size, 'window size');
      return { kind: 'tumbling', sizeMs, offsetMs: graph.duration(shape.offset, 'offset') % sizeMs };
    }
    case 'hopping': {
      const sizeMs = graph.length(shape.size, 'window size');
      const advanceMs = graph.length(shape.advance, 'window advance');
      if (advanceMs > sizeMs) {
        graph.note(
          `a window of ${shape.size} that advances by ${shape.advance} leaves out what lies between: let size be at least advance`,
        );
      }
      return { kind: 'hopping', sizeMs, advanceMs, offsetMs: graph.duration(shape.offset, 'offset') % advanceMs };
    }
    case 'session':
      return { kind: 'session', gapMs: graph.length(shape.gap, 'session gap') };
  }
}
