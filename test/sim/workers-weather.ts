/**
 * What goes wrong with whole workers, from a seed: each ends, freezes, is cut off from the broker or from some of it, loses its
 * engine or its disk, is told to stop, taken out of service; others come, and some go for good.
 */
import type { Random } from '../../lib/base/random.ts';
import type { Machine } from './machines.ts';
import type { WorkerCluster } from './workers.ts';

/** Whoever does not beat has lost the lease by then. */
const TAKEN_MS = 2_500;

export interface Weather {
  readonly workers: number;
  readonly crashes: number;
  readonly freezes: number;
  readonly cuts: number;
  /** Times that a worker cannot reach the registry alone. */
  readonly deaf: number;
  /** Told to stop, and started again. */
  readonly stops: number;
  /** Threads that end while their process goes on. */
  readonly engines: number;
  /** Machines that come to have a copy of another's folder. */
  readonly copies: number;
  /** Times that a worker alone hears no other, and times that the workers are in two halves that do not. */
  readonly unheard: number;
  readonly halves: number;
  /** Times that a person takes a worker out of service, and back later or at the end. */
  readonly cordons: number;
  /** Workers that come to be there, and such that end for good. */
  readonly joins: number;
  readonly leaves: number;
  readonly asked: number;
  readonly outageMs: number;
  readonly diskLoss: number;
  readonly lengthMs: number;
}

export function weatherOf(random: Random, lengthMs: number): Weather {
  return {
    workers: random.chance(0.2) ? 1 : 2 + random.int(2),
    crashes: random.int(4),
    freezes: random.int(4),
    cuts: random.chance(0.5) ? random.int(3) : 0,
    deaf: random.chance(0.5) ? 1 + random.int(2) : 0,
    stops: random.int(3),
    engines: random.int(4),
    copies: random.chance(0.2) ? 1 : 0,
    unheard: random.chance(0.3) ? 1 + random.int(2) : 0,
    halves: random.chance(0.2) ? 1 : 0,
    cordons: random.chance(0.5) ? 1 + random.int(2) : 0,
    joins: random.int(3),
    leaves: random.int(2),
    asked: random.int(8),
    outageMs: random.chance(0.3) ? 20_000 : 4_000,
    diskLoss: 0.3,
    lengthMs,
  };
}

/** All that goes wrong with machines, spread over the weather's length. */
export function disturb(
  cluster: WorkerCluster,
  { weather, random }: { readonly weather: Weather; readonly random: Random },
): void {
  const often = (times: number, happens: () => void) => {
    for (let i = 0; i < times; i++) cluster.clock.after(random.int(weather.lengthMs), happens);
  };
  const present = () => cluster.machines.filter(({ isRetired }) => !isRetired);
  const active = () => cluster.machines.find(({ process }) => process?.worker.active);
  /** It strikes where it hurts, as a rule. */
  const any = () => (random.chance(0.6) ? active() : undefined) ?? random.pick(present());
  const later = (ms: number, happens: () => void) => cluster.clock.after(random.int(ms), happens);
  often(weather.crashes, () => {
    const machine = any();
    machine.crash({ losesDisk: random.chance(weather.diskLoss) });
    later(random.chance(0.5) ? 800 : 4_000, () => machine.start());
  });
  often(weather.freezes, () => {
    const machine = any();
    machine.freeze();
    later(weather.outageMs, () => machine.thaw());
  });
  often(weather.cuts, () => {
    const machine = any();
    machine.cutOff();
    later(weather.outageMs, () => machine.reconnect());
  });
  often(weather.deaf, () => {
    const machine = active() ?? random.pick(cluster.machines);
    machine.deafen();
    cluster.clock.after(2 * TAKEN_MS + random.int(weather.outageMs), () => machine.reconnect());
    // Another has the lease by then; who does not hear of it starts all anew.
    if (random.chance(0.7)) cluster.clock.after(TAKEN_MS + random.int(TAKEN_MS), () => machine.loseEngine());
  });
  often(weather.stops, () => {
    const machine = any();
    machine.stop();
    // Tried until it is there: nobody starts what has not ended.
    const begin = () => {
      if (machine.process === null) machine.start();
      else later(500, begin);
    };
    cluster.clock.after(100, begin);
  });
  often(weather.engines, () => any().loseEngine());
  often(weather.copies, () => cluster.copy(any()));
  often(weather.unheard, () => {
    const machine = any();
    machine.unhear();
    later(weather.outageMs, () => machine.reconnect());
  });
  often(weather.halves, () => {
    for (const machine of cluster.machines) machine.setSide(random.int(2));
    later(weather.outageMs, () => {
      for (const machine of cluster.machines) machine.setSide(0);
    });
  });
  often(weather.cordons, () => cordon(cluster, { machine: any(), ms: random.int(weather.lengthMs), random }));
  often(weather.joins, () => {
    cluster.seen.joined++;
    cluster.addMachine().start();
  });
  often(weather.leaves, () => {
    const machine = any();
    if (!machine.isRetired && cluster.mayRetire) machine.retire();
  });
}

/** As a person does who asks any worker. */
function cordon(
  cluster: WorkerCluster,
  { machine, ms, random }: { readonly machine: Machine; readonly ms: number; readonly random: Random },
): void {
  const name = machine.process?.name;
  if (name === undefined) return;
  const put = (on: boolean) => {
    const { processes } = cluster;
    if (processes.length === 0) return;
    const { worker } = random.pick(processes);
    // Refused or lost: then there is none, or it stays.
    const done = on ? worker.cordons.put(name) : worker.cordons.delete(name);
    done.then(
      () => {
        if (on) cluster.seen.cordons++;
      },
      () => {},
    );
  };
  put(true);
  if (random.chance(0.7)) cluster.clock.after(ms, () => put(false));
}
