/** What a source is given: where to go on, where its records go, and how many of them at a time. */
import type { Clock } from '../base/clock.ts';
import type { Meter } from '../observe/meter.ts';
import type { Refusals, Refused } from '../operator/feed.ts';
import type { Cursor, Receiver } from '../operator/run.ts';
import type { Log } from '../port/log.ts';
import type { Letter } from '../record/letter.ts';
import type { SourcePlaceInTime } from '../window/source-time.ts';
import type { ReplayJudge } from './replays.ts';
import type { SourceSpec } from './spec.ts';

export interface SourcePlace extends SourcePlaceInTime {
  /** All messages up to this sequence have been passed on. */
  readonly position: number;
  /** … and so many records of the next, as its format gives them, or, below 0, so much of what it cannot read. Absent: nothing. */
  readonly rowsTaken?: number;
  readonly mark: StreamMark;
  /** The last message of which anybody has had a row. Absent: that is `position`. */
  readonly through?: number;
}

/** By what the stream is known again whose sequences are meant: when it was made, and a message that was read of it. */
export interface StreamMark {
  /** Ms since 1970; 0: nothing of it has been read yet. */
  readonly bornMs: number;
  /** Sequence of the last message that was passed on, and when it was stored, ms since 1970; 0: none was. */
  readonly seq: number;
  readonly timeMs: number;
  /** Where a table's bucket was made anew: what is added to its sequences (`succession.ts`). Else 0. */
  readonly base: number;
}

export const NO_MARK: StreamMark = { bornMs: 0, seq: 0, timeMs: 0, base: 0 };

/** What a source asks of the log. */
export type SourceLog = Pick<Log, 'info' | 'get' | 'read'>;

/** Where a source's records go. `entry` is told each record, with the rest of it in `cursor`. */
export interface SourceTarget {
  readonly entry: Receiver;
  readonly cursor: Cursor;
  letter(letter: Letter): void;
  /** Told the trace context of each message that has one; absent: nobody traces. */
  readonly traced?: ((trace: string) => void) | undefined;
  /** A record, or a message, that ends here without a letter: the source's policy, or a heartbeat. */
  drop(reason: 'skipped' | 'heartbeat'): void;
}

export interface SourceOptions extends ReplayJudge {
  readonly spec: SourceSpec;
  /** This source's place in its pipeline's plan, for origins. */
  readonly index: number;
  readonly log: SourceLog & Pick<Log, 'messageBytesMax'>;
  readonly clock: Clock;
  readonly target: SourceTarget;
  readonly meter: Meter;
}

export interface PollLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
  /** Whoever takes the records takes no more; asked after each message, and `withinMessages` after each record. */
  full?(): boolean;
  readonly withinMessages?: boolean;
  /** The last message to be passed on, which `position` comes to also where there is none of that number; absent: none is. */
  readonly through?: number;
  /** Records that are refused by where they stand, before anybody has them. Null or absent: none. */
  readonly refuses?: ({ readonly refused: Refused } & Pick<Refusals, 'refuse'>) | null;
}
