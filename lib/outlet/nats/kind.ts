/**
 * The outlets into streams of NATS: which of the three ways rows take, and which of them lead to one destination. An owned
 * sink's way is named by its subject, whatever the sink is called; others by the marker, which is called after the sink,
 * whose name is unique among those of a plan; and so is what waits here.
 */
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { LETTERS } from '../../journal/outbox.ts';
import { type Log, roomIn } from '../../port/log.ts';
import { letterMarkerSubject, markerSubject, taskWriter } from '../../record/names.ts';
import type { Outlet, OutletKind, OutletOptions, RowsItem, SendingTask, Way } from '../outlet.ts';
import { ChainOutlet, rowsForm } from './chain-outlet.ts';
import { type Destination, destinationFrom } from './destination.ts';
import { LooseOutlet } from './loose-outlet.ts';
import { type NatsItem, Style } from './rows-item.ts';
import { SharedStream } from './shared-stream.ts';
import { type ChainPast, seqOf } from './tail.ts';

/** Room in a message for its headers. */
const HEADROOM_BYTES = 4096;

interface Ports {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
}

/** How the outlets of each task are made: what tasks of one worker send to a shared stream goes there together. */
export function natsOutlets(ports: Ports): (task: SendingTask) => OutletKind {
  const streams = new Map<string, SharedStream>();
  const shared = (stream: string) => {
    let made = streams.get(stream);
    if (made === undefined) streams.set(stream, (made = new SharedStream({ stream, ...ports })));
    return made;
  };
  return task => ({ way: to => new NatsWay({ ports, task, shared, ...to }) });
}

class NatsWay implements Way {
  readonly key: string;
  readonly style: Style;
  #to: Destination;
  #marker: string;
  #ports: Ports;
  #task: SendingTask;
  #shared: (stream: string) => SharedStream;

  constructor(options: {
    ports: Ports;
    task: SendingTask;
    shared(stream: string): SharedStream;
    sink: string;
    target: string;
  }) {
    const { sink, task } = options;
    const { deployment, stage, partition, sender } = task;
    const to = destinationFrom(options.target);
    this.#to = to;
    this.#ports = options.ports;
    this.#task = task;
    this.#shared = options.shared;
    this.#marker =
      sink === LETTERS
        ? letterMarkerSubject(deployment, taskWriter(task))
        : markerSubject(deployment, { sink, stage, partition });
    this.style = new Style({ sink, sender, destination: to });
    const chain = `${to.stream} ${to.mode === 'owned' ? to.subject : this.#marker}`;
    this.key = to.mode === 'at-least-once' ? `${chain} unfenced` : chain;
  }

  get destination(): string {
    return this.#to.subject;
  }

  outlet({ past, remembered, onSent, onFailed }: OutletOptions): Outlet<RowsItem> {
    const { sender } = this.#task;
    const { mode, stream, subject, sinceSeq } = this.#to;
    const chainPast: ChainPast = { ...past, rememberedSeq: seqOf(remembered), sinceSeq };
    switch (mode) {
      case 'owned': {
        const { log, clock, random } = this.#ports;
        const form = rowsForm({ sender, messageBytesMax: roomIn(log.messageBytesMaxOf(stream), HEADROOM_BYTES) });
        return new ChainOutlet<NatsItem>({
          ...{ log, clock, random, stream, subject, form, onSent, onFailed },
          past: chainPast,
          expires: true,
        });
      }
      case 'shared':
        return this.#shared(stream).outlet({ sender, marker: this.#marker, past: chainPast, onSent, onFailed });
      case 'at-least-once':
        return new LooseOutlet({ log: this.#ports.log, stream, sender, onSent, onFailed });
    }
  }
}
