/**
 * The watch over a running pipeline's streams: whether they still are kept as it needs them, by the table of settings
 * (`topology/stream-settings.ts`). Somebody may edit a stream at any time, and what then is lost, or waits for ever, would
 * not be said by anybody else. What refuses a pipeline in the plan stops it here, before it does harm; what only promises
 * less is told. Our own streams are told of and no more: their chains notice by themselves what is missing.
 * Whether sources still find what is theirs is judged by `keepers.ts`.
 */
import type { Clock } from '../base/clock.ts';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import type { Observer } from '../observe/events.ts';
import type { Log, StreamInfo } from '../port/log.ts';
import {
  channelsStream,
  channelsSubjects,
  type Deployment,
  journalStream,
  journalSubjects,
  lettersStream,
  lettersSubjects,
} from '../record/names.ts';
import { askCopied } from '../topology/broker.ts';
import { inletsOf, type Plan, sourcesOf } from '../topology/plan.ts';
import { judgeStream, verdictText } from '../topology/stream-settings.ts';
import { ownUse, streamUses, type UsedStream } from '../topology/stream-uses.ts';
import { type Amiss, Keepers } from './keepers.ts';

const EVERY_MS = 5_000;
/** At one look of so many it is asked, too, which streams list the sources' subjects. */
const ASKED_EVERY = 6;

export interface StreamWatchOptions {
  readonly plan: Plan;
  readonly deployment: Deployment;
  readonly log: Pick<Log, 'info' | 'streamsOf'>;
  readonly clock: Clock;
  readonly observer: Observer;
}

export class StreamWatch {
  readonly #options: StreamWatchOptions;
  readonly #onRefused: (error: unknown) => void;
  readonly #keepers: Keepers;
  readonly #used: readonly UsedStream[];
  /** What has been said and still holds; the plan has said what it found. */
  #told: ReadonlySet<string>;
  /** Streams that the plan could not look at. What makes less of one at the first look is how it was made, and no edit. */
  readonly #made: ReadonlySet<string>;
  #looks = 0;
  #cancel: (() => void) | null = null;
  #stopped = false;

  /** @param onRefused is told why the pipeline must not go on. */
  constructor(options: StreamWatchOptions, onRefused: (error: unknown) => void) {
    const { plan, deployment } = options;
    this.#options = options;
    this.#onRefused = onRefused;
    this.#keepers = new Keepers(options);
    this.#told = new Set(plan.warnings);
    const ours = [
      { stream: journalStream(deployment), use: ownUse('own', [journalSubjects(deployment)]) },
      ...inletsOf(plan).map(inlet => ({
        stream: channelsStream(deployment, inlet),
        use: ownUse('own', channelsSubjects(deployment, inlet)),
      })),
      { stream: lettersStream(plan.pipeline), use: ownUse('letters', lettersSubjects(plan.pipeline)) },
    ];
    this.#used = [...streamUses(plan), ...ours];
    this.#made = new Set([
      ...sourcesOf(plan).flatMap(({ stream, capture }) => (capture === null ? [] : stream)),
      ...plan.sinks.flatMap(({ target: { stream } }) => (stream.create ? stream.name : [])),
      ...ours.map(({ stream }) => stream),
    ]);
  }

  start(): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(EVERY_MS, () => {
      this.#look().then(
        () => this.start(),
        error => this.#onRefused(error),
      );
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  async #look(): Promise<void> {
    const infos = new Map<string, StreamInfo | null>();
    let amiss: readonly Amiss[];
    this.#looks++;
    try {
      for (const { stream } of this.#used) {
        if (!infos.has(stream)) infos.set(stream, await this.#options.log.info(stream));
      }
      await askCopied(this.#options.log, infos);
      const asks = this.#looks % ASKED_EVERY === 0;
      amiss = await this.#keepers.look(stream => infos.get(stream) ?? null, { asks });
    } catch (error) {
      // The next look will do.
      if (isMillraceError(error)) return;
      throw error;
    }
    if (!this.#stopped) this.#judge(infos, amiss);
  }

  #judge(infos: ReadonlyMap<string, StreamInfo | null>, amiss: readonly Amiss[]): void {
    const { plan, observer } = this.#options;
    const { pipeline } = plan;
    const found = new Set<string>();
    const against: string[] = [];
    const isFirst = this.#looks === 1;
    for (const { stream, use } of this.#used) {
      const info = infos.get(stream);
      // Who reads it, or writes to it, notices that it is gone.
      if (info == null) continue;
      for (const verdict of judgeStream(info, use)) {
        const isRefused = verdict.verdict === 'refused';
        const message = verdictText(stream, verdict);
        found.add(message);
        if (isRefused && use.role !== 'own' && use.role !== 'letters') against.push(message);
        if (this.#told.has(message) || (isFirst && !isRefused && this.#made.has(stream))) continue;
        observer.emit({ event: 'stream.edited', level: isRefused ? 'error' : 'warn', pipeline, stream, message });
      }
    }
    for (const { source, stream, message, isRefused } of amiss) {
      const saying = `${source}: ${message}`;
      found.add(saying);
      if (isRefused) against.push(message);
      if (this.#told.has(saying)) continue;
      if (isRefused) observer.emit({ event: 'stream.edited', level: 'error', pipeline, stream, message });
      else observer.emit({ event: 'source.unread', level: 'warn', pipeline, source, message });
    }
    this.#told = found;
    if (against.length === 0) return;
    const text = `${against.join('\n')}\nThen: millrace restart ${pipeline}`;
    this.#onRefused(new MillraceError('BROKER_REFUSED', text));
  }
}
