/**
 * The ways from a task to the tasks of the next stages: a channel to each, which gets frames, and for each stage words to
 * all its tasks at once, how far event time is here. Channels are the engine's own, so these need no kind and no target.
 */
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { partOfFrame } from '../channel/cut.ts';
import { decodeBroadcast, decodeFrameHead, encodeBroadcast } from '../channel/frame.ts';
import { Words } from '../channel/words.ts';
import type { FrameRoute, OutFrame } from '../journal/outbox.ts';
import type { Tail, Tails } from '../journal/tails.ts';
import { type Log, roomIn } from '../port/log.ts';
import { broadcastSubject, channelSubject, channelsStream, type Deployment, taskWriter } from '../record/names.ts';
import { trailing } from '../window/watermark.ts';
import { ChainOutlet, type Form } from './nats/chain-outlet.ts';
import { type ChainPast, nameOf, seqOf } from './nats/tail.ts';
import type { Outlet } from './outlet.ts';
import { checkCommit, type Past } from './past.ts';
import type { QueuedItem } from './queue.ts';

/** Room in a message beside its frame, as whoever cuts frames leaves it. */
const HEADROOM_BYTES = 4096;
/** Between two words of a stage to which nobody has spoken. */
const SILENCE_MS = 1_000;

/** A stage that this task sends frames to. */
export interface StageRoute extends FrameRoute {
  readonly partitions: number;
  /** How far event times that leave here may trail the task's watermark. */
  readonly lagMs: number;
}

export interface FrameItem extends QueuedItem {
  readonly frame: Uint8Array;
  /** Rows of the commit for this channel before the frame; `rowFrom` is further where a part of it is in. */
  readonly frameFrom: number;
}

/**
 * Frames to a channel: each is a message of its own and says in its head what it is. One that the broker does not take any
 * more, since its limit was lowered, goes in parts.
 * @param bytesMax what a frame may have at present
 */
export function frameForm(bytesMax: () => number): Form<FrameItem> {
  return {
    next(queue) {
      const { commit, frame, frameFrom, rowFrom, rowTo } = queue.at(0)!;
      const most = bytesMax();
      if (rowFrom === frameFrom && frame.length <= most) {
        return { data: frame, headers: undefined, through: { position: commit, row: rowTo } };
      }
      const { bytes, row } = partOfFrame(frame, { skip: rowFrom - frameFrom, bytesMax: most });
      return { data: bytes, headers: undefined, through: { position: commit, row } };
    },
    // A channel's subject names its writer, down to the life.
    read: message => ({ writer: 'us', progress: decodeFrameHead(message.data) }),
  };
}

export interface NextStagesOptions {
  readonly deployment: Deployment;
  readonly stage: string;
  readonly partition: number;
  readonly routes: readonly StageRoute[];
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly past: Past;
  readonly tails: Tails;
  /** An item is in, whole; `tail` is last at the destination `key`. */
  onSent(key: string, item: QueuedItem, tail: Tail): void;
  onFailed(error: unknown): void;
}

/** What the tasks of one stage are told. */
interface StageWords {
  readonly route: StageRoute;
  readonly words: Words;
  opened: boolean;
  toldMs: number;
  /** Clock of the last word that there is nothing to tell of. */
  silentMs: number;
}

export class NextStages {
  #options: NextStagesOptions;
  #channels = new Map<string, Outlet<FrameItem>>();
  #words: readonly StageWords[];
  #telling = false;
  #stopped = false;

  constructor(options: NextStagesOptions) {
    this.#options = options;
    const { deployment, log, clock, random } = options;
    const writer = taskWriter(options);
    this.#words = options.routes.map(route => {
      const stream = channelsStream(deployment, route);
      const subject = broadcastSubject(deployment, { ...route, writer });
      const words = new Words({ log, clock, random, stream, subject });
      return { route, words, opened: false, toldMs: Number.NEGATIVE_INFINITY, silentMs: 0 };
    });
  }

  /** Adds the frames of a commit, each with the outlet that it takes, to `items`. */
  add(commit: number, frames: readonly OutFrame[], items: [Outlet<QueuedItem>, QueuedItem][]): void {
    const rowFrom = new Map<string, number>();
    for (const { route, partition, row, bytes } of frames) {
      const key = channelKey(route, partition);
      const from = rowFrom.get(key) ?? 0;
      const item: FrameItem = {
        ...{ commit, rowFrom: from, rowTo: row, bytes: bytes.length },
        ...{ frame: bytes, frameFrom: from },
      };
      rowFrom.set(key, row);
      items.push([this.#channel(key, route, partition) as Outlet<QueuedItem>, item]);
    }
  }

  /** Judges what is last in every channel and word by the journal. */
  async open(): Promise<void> {
    const channels = this.#options.routes.flatMap(({ partitions, ...route }) =>
      Array.from({ length: partitions }, (_, partition) =>
        this.#channel(channelKey(route, partition), route, partition),
      ),
    );
    await Promise.all([
      ...channels.map(channel => channel.open()),
      ...this.#words.map(stage => this.#openWords(stage)),
    ]);
  }

  #channel(key: string, route: FrameRoute, partition: number): Outlet<FrameItem> {
    const existing = this.#channels.get(key);
    if (existing !== undefined) return existing;
    const { deployment, log, clock, random, onFailed, onSent } = this.#options;
    const stream = channelsStream(deployment, route);
    const form = frameForm(() => roomIn(log.messageBytesMaxOf(stream), HEADROOM_BYTES));
    const outlet = new ChainOutlet<FrameItem>({
      ...{ log, clock, random, form, onFailed, stream },
      subject: channelSubject(deployment, { ...route, partition, writer: taskWriter(this.#options) }),
      expires: false,
      past: this.#pastOf(key),
      onSent: (item, seq) => onSent(key, item, seq),
    });
    this.#channels.set(key, outlet);
    return outlet;
  }

  #pastOf(key: string): ChainPast {
    const { past, tails } = this.#options;
    return { rememberedSeq: seqOf(tails[key] ?? null), sinceSeq: 0, ...past };
  }

  /**
   * Tells the tasks of the next stages how far event time is here, for those whom no frame told: called a few times a
   * second. Only what is journaled and wholly sent is told, so a watermark that was told is never taken back.
   *
   * A stage to which nobody has ever spoken says that, now and then: those behind it would wait for it for ever. Nothing
   * can be on its way here then, so that holds as of the clock to which all its inputs are known.
   */
  async tell(about: {
    readonly relayedThrough: number;
    readonly watermarkMs: number;
    readonly clockMs: number;
    readonly isSilent: boolean;
  }): Promise<void> {
    if (this.#telling || this.#stopped) return;
    this.#telling = true;
    const { relayedThrough: position, clockMs, isSilent } = about;
    try {
      for (const stage of this.#words) {
        const watermarkMs = trailing(about.watermarkMs, stage.route.lagMs);
        const saysSilence = isSilent && clockMs >= stage.silentMs + SILENCE_MS;
        if (watermarkMs <= stage.toldMs && !saysSilence) continue;
        await this.#openWords(stage);
        const head = { position, row: 0, watermarkMs, clockMs, quietMs: 0, bootstrapped: true };
        const outcome = await stage.words.append(encodeBroadcast(head));
        if (outcome.kind === 'landed') {
          stage.toldMs = watermarkMs;
          stage.silentMs = clockMs;
        }
        // A former owner's word that landed late: it told no more than was true. Say ours after it.
        else stage.words.adopt(outcome.tail);
      }
    } finally {
      this.#telling = false;
    }
  }

  /** Nothing was told yet, so a position beyond what we were left is not one of ours. */
  async #openWords(stage: StageWords): Promise<void> {
    if (stage.opened) return;
    const tail = await stage.words.open();
    const { past } = this.#options;
    const { position } = tail === null ? { position: 0 } : decodeBroadcast(tail.data);
    await checkCommit(position, { known: past.inheritedTo, place: nameOf(stage.words), past });
    stage.opened = true;
  }

  stop(): void {
    this.#stopped = true;
    for (const channel of this.#channels.values()) channel.stop();
    for (const { words } of this.#words) words.stop();
  }
}

function channelKey({ stage, input }: FrameRoute, partition: number): string {
  return `${stage}/${input}/${partition}`;
}
