/**
 * What of a router belongs to one input of one stage that it feeds: its channels, the broadcast beside them, what was told
 * there, and what was found when they were opened.
 */
import { authorOf, type ProgramName } from '../channel/authorship.ts';
import type { FrameHead } from '../channel/frame.ts';
import type { Words } from '../channel/words.ts';
import type { ChannelWriter } from '../channel/writer.ts';
import type { StreamMark } from '../source/poll.ts';
import type { Counted } from './counted.ts';

/** One input of one stage, which this writer feeds. */
export interface Route {
  readonly stage: string;
  readonly input: string;
  /** It is a table of the stage. */
  readonly bootstrap?: boolean;
  readonly partitions: number;
}

export interface Lane {
  readonly route: Route;
  readonly channels: readonly ChannelWriter[];
  readonly broadcast: Words;
  told: FrameHead | null;
  /** The last header of a program that was told; empty: none. */
  toldProgram: string;
  toldCounted: Counted | null;
  /** As they were opened: the head of the channel that is furthest; null: nothing has begun. */
  furthest: FrameHead | null;
  /** All of them are complete to it. -1: some have not begun. */
  completeTo: number;
}

/** What a former program has sent to some channels, and not to all. */
export interface Unfinished {
  readonly program: ProgramName;
  /** The last source message of which any channel has had a row of it. */
  readonly through: number;
  /** Those that the program had, for certain; it may have had others of ours. */
  readonly routes: readonly Route[];
}

export interface Opened {
  /** The channel that is furthest behind; null: none has begun. */
  readonly place: (FrameHead & { mark: StreamMark }) | null;
  /** The last source message of which any channel has had a row. */
  readonly through: number;
  /** No stage is there that has had nothing yet. */
  readonly isBegun: boolean;
  /** The most that any stage was told; null: nothing. */
  readonly counted: Counted | null;
}

/** What a stage is to be told. */
export interface News {
  readonly lane: Lane;
  readonly head: FrameHead;
  readonly counted: Counted | null;
}

export function programOf({ furthest }: Lane): number {
  return authorOf(furthest!).program;
}

export function landedTo(lane: Lane): number {
  let least = Number.POSITIVE_INFINITY;
  for (const channel of lane.channels) least = Math.min(least, channel.landedTo);
  return least;
}
