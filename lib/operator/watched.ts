/**
 * A program whose user functions are watched while they run (`call-watch.ts`). What is ours alone (shapes of windows,
 * built-in aggregates beyond their `extract`) is left as it is.
 */
import type { WatchedCalls } from './call-watch.ts';
import type { Program } from './program.ts';
import type { AggregateSpec, OperatorSpec } from './spec.ts';
import { listed } from './user-code.ts';

/** @param watchCalls for the node of a name */
export function watchedProgram(program: Program, watchCalls: (node: string) => WatchedCalls): Program {
  return {
    ...program,
    nodes: program.nodes.map(node => ({ ...node, spec: watched(node.spec, watchCalls(node.name)) })),
  };
}

function watched(spec: OperatorSpec, calls: WatchedCalls): OperatorSpec {
  switch (spec.kind) {
    case 'map':
      return { ...spec, fn: calls.watched((value: unknown) => spec.fn(value)) };
    case 'filter':
      return { ...spec, fn: calls.watched((value: unknown) => spec.fn(value)) };
    case 'flatMap':
      // A generator runs while it is read.
      return {
        ...spec,
        fn: calls.watched((value: unknown) => {
          const many: unknown = spec.fn(value);
          const isLazy = typeof many === 'object' && many !== null && !Array.isArray(many) && Symbol.iterator in many;
          return (isLazy ? listed(many) : many) as Iterable<unknown>;
        }),
      };
    case 'keyBy':
      return { ...spec, fn: calls.watched((value: unknown) => spec.fn(value)) };
    case 'carryId':
      return { ...spec, fn: calls.watched((value: unknown) => spec.fn(value)) };
    case 'dedupe': {
      const { id } = spec;
      return id === null ? spec : { ...spec, id: calls.watched((value: unknown) => id(value)) };
    }
    case 'join':
      return { ...spec, combine: calls.watched((left: unknown, right: unknown) => spec.combine(left, right)) };
    case 'tableJoin':
      return { ...spec, combine: calls.watched((stream: unknown, row: unknown) => spec.combine(stream, row)) };
    case 'window':
      return { ...spec, aggregates: spec.aggregates.map(one => watchedAggregate(one, calls)) };
    case 'process': {
      const { process } = spec;
      const { onTimer } = process;
      type Timer = NonNullable<typeof onTimer>;
      return {
        ...spec,
        process: {
          onRecord: calls.watched((...[value, context, timeMs]: Parameters<typeof process.onRecord>) =>
            process.onRecord(value, context, timeMs),
          ),
          ...(onTimer === undefined
            ? {}
            : {
                onTimer: calls.watched((...[name, context, timeMs]: Parameters<Timer>) =>
                  onTimer.call(process, name, context, timeMs),
                ),
              }),
        },
      };
    }
  }
}

/** In the built-in ones only `extract` runs user code, in `count` nothing; in an author's own, everything does. */
function watchedAggregate(spec: AggregateSpec, calls: WatchedCalls): AggregateSpec {
  if (spec.kind === 'count') return spec;
  const extract = calls.watched((value: unknown) => spec.extract(value));
  if (spec.kind !== 'aggregate' && spec.kind !== 'reduce') return { ...spec, extract };
  const { merge } = spec;
  return {
    ...spec,
    init: calls.watched(() => spec.init()),
    add: calls.watched((accumulator: unknown, value: unknown, timeMs: number) => spec.add(accumulator, value, timeMs)),
    result: calls.watched((accumulator: unknown) => spec.result(accumulator)),
    ...(merge === undefined
      ? {}
      : { merge: calls.watched((left: unknown, right: unknown) => merge.call(spec, left, right)) }),
  };
}
