/**
 * What the workers of a history are given to run: a pipeline in several revisions, what is published for it, and a judge of
 * what comes of it.
 */
import type { Random } from '../../lib/base/random.ts';
import { count, judge, minus, size } from './judge.ts';
import { entries, programOf, wrongOf } from './programs.ts';
import { answer, events, storyOf } from './story.ts';
import type { Author, World } from './world.ts';

export interface Tale {
  readonly pipeline: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** All of them compatible. */
  readonly revisions: readonly Author[];
  /** Virtual ms in which all but the rest is published. */
  readonly lengthMs: number;
  publish(world: World): void;
  /** What was kept for the end; once. */
  publishRest(world: World): void;
  isDone(world: World): boolean;
  /** Null: all is as it should be. */
  judge(world: World): string | null;
  /** Whether a life that begins anew, over all that was published, comes to an answer that is known. */
  readonly playsAgain: boolean;
  /** From here on it is judged by what its next life sends. */
  beginAnew(world: World): void;
}

/** Revisions that compute the same: held against the batch answer. */
export function storyTale(random: Random): Tale {
  const { sent } = events(random, 20 + random.int(40));
  const expected = answer(sent);
  const bits = [false, true];
  return {
    pipeline: 'story',
    inputs: ['in.orders', 'in.payments'],
    outputs: ['pairs', 'counts', 'audit', 'changed', 'copies'],
    revisions: bits.flatMap(filters => bits.map(copies => storyOf({ filters, copies }))),
    lengthMs: sent.at(-1)?.atMs ?? 0,
    publish: world => world.publish(sent),
    publishRest() {},
    isDone: world => count(world) >= size(expected),
    judge(world) {
      // A sink that comes and goes has some of it.
      const extra = minus(world.rows('copies'), expected.audit);
      return extra.length > 0
        ? `copies: ${extra.length} too many: ${extra.slice(0, 3).join(' ')}`
        : judge(world, expected);
    },
    // What is old falls silent at once when it is read again, and then some of it is late.
    playsAgain: false,
    beginAnew() {},
  };
}

const PROGRAMS_MS = 6_000;
const VERSIONS = 6;
const KEPT = 10;

/** Revisions that compute other things: each record once, as one of them has it. */
export function programsTale(random: Random): Tale {
  const messages = entries(random);
  const bodies = messages.map(many => Buffer.from(many.map(entry => JSON.stringify(entry)).join('\n')));
  const before = bodies.slice(0, -KEPT);
  let rest = bodies.slice(-KEPT);
  let after = { left: 0, right: 0 };
  const land = (world: World, data: Uint8Array) => world.broker.land([{ subject: 'in.records', data }], false);
  const wrong = (world: World) => wrongOf(world, messages.flat(), after);
  return {
    pipeline: 'programs',
    inputs: ['in.records'],
    outputs: ['left', 'right'],
    revisions: Array.from({ length: VERSIONS }, (_, version) => programOf(version)),
    lengthMs: PROGRAMS_MS,
    publish(world) {
      before.forEach((data, i) => {
        world.clock.after((PROGRAMS_MS / before.length) * i, () => void land(world, data));
      });
    },
    publishRest(world) {
      for (const data of rest) land(world, data);
      rest = [];
    },
    isDone: world => wrong(world).length === 0,
    judge(world) {
      const lines = wrong(world);
      return lines.length === 0 ? null : `${lines.length} records: ${lines.slice(0, 3).join('; ')}`;
    },
    playsAgain: true,
    beginAnew(world) {
      const end = (stream: string) => world.broker.stream(stream)?.lastSeq ?? 0;
      after = { left: end('left'), right: end('right') };
    },
  };
}
