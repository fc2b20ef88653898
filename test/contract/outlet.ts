/**
 * The suite of outlets, driven by a relay as in a task: what each must do whatever it writes to. A rig says where it writes,
 * and puts faults between an owner and the destination.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '../../lib/base/clock.ts';
import { isMillraceError, MillraceError } from '../../lib/base/errors.ts';
import { Random } from '../../lib/base/random.ts';
import type { Outbox, OutRows } from '../../lib/journal/outbox.ts';
import type { Tail } from '../../lib/journal/tails.ts';
import { MemoryBroker } from '../../lib/memory/log.ts';
import { noMeter } from '../../lib/observe/meter.ts';
import type { OutletKinds } from '../../lib/outlet/outlet.ts';
import { Relay } from '../../lib/outlet/relay.ts';

/** What becomes of one write: it is in, and nobody hears of it; it waits; its owner dies before it is in, or after. */
type Fault = 'lost' | 'held' | 'dies before' | 'dies after';

/** Between one owner and the destination. */
export class Faults {
  writes = 0;
  /** Resolves when the fault has come. */
  readonly struck: Promise<void>;
  /** Resolves when the write that was held is in, or was refused. */
  readonly landed: Promise<void>;
  #fault: Fault | null;
  #at: number;
  #strike!: () => void;
  #land!: () => void;
  #release: () => void = () => {};

  /** The fault comes at the write of that number, from 0. */
  constructor(fault: Fault | null = null, at = 0) {
    this.#fault = fault;
    this.#at = at;
    this.struck = new Promise(resolve => {
      this.#strike = resolve;
    });
    this.landed = new Promise(resolve => {
      this.#land = resolve;
    });
  }

  /** A write; `unheard` is what its owner gets when the answer is lost. */
  async write<T>(really: () => Promise<T>, unheard: () => Promise<T>): Promise<T> {
    if (this.writes++ !== this.#at || this.#fault === null) return really();
    const fault = this.#fault;
    const never = new Promise<never>(() => {});
    if (fault === 'held') {
      const released = new Promise<void>(resolve => {
        this.#release = resolve;
      });
      this.#strike();
      await released;
      return really().finally(() => this.#land());
    }
    if (fault !== 'dies before') await really();
    this.#strike();
    return fault === 'lost' ? unheard() : never;
  }

  async release(): Promise<void> {
    this.#release();
    await this.landed;
  }
}

export interface Place {
  readonly life: string;
  /** Where rows of a sink go: of whichever sink, to one destination. */
  to(sink: string): Pick<OutRows, 'kind' | 'target' | 'addresses'>;
  kinds(faults: Faults): OutletKinds;
  rows(): Promise<string[]>;
  /** How much there is now, for `putBack`. */
  mark(): Promise<number>;
  /** What came after the mark is gone. */
  putBack(mark: number): Promise<void>;
}

export interface OutletRig {
  /** A destination of its own for each test. */
  place(): Promise<Place>;
  remove(): Promise<void>;
}

export interface OutletTraits {
  /** It reads what is last at the destination, and goes on after that. */
  readonly judges: boolean;
}

const COMMITS = [1, 2, 3];
const WRITES = [0, 1, 2, 3, 4, 5, 6, 7];

const texts = (commit: number, count = 2, length = 0) =>
  Array.from({ length: count }, (_, i) => `"${commit}.${i}${'.'.repeat(length)}"`);

interface OwnerOptions {
  readonly faults?: Faults;
  readonly tails?: Readonly<Record<string, Tail>>;
  readonly relayedThrough?: number;
  readonly inheritedTo?: number;
}

/** A relay of a task, as its owner has it. */
class Owner {
  readonly faults: Faults;
  readonly relay: Relay;
  /** As the journal would have them. */
  tails: Record<string, Tail>;
  error: unknown = null;
  isReplaced = false;
  #place: Place;
  #waiting: (() => void)[] = [];

  constructor(place: Place, options: OwnerOptions = {}) {
    const { faults = new Faults(), tails = {}, relayedThrough = 0, inheritedTo = 0 } = options;
    this.faults = faults;
    this.tails = { ...tails };
    this.#place = place;
    this.relay = new Relay({
      deployment: { pipeline: 'p', life: place.life },
      stage: 's',
      partition: 0,
      routes: [],
      targets: [{ sink: 'a', ...place.to('a') }],
      kinds: place.kinds(faults),
      sender: { task: 'p/s/0', life: place.life, sourceStreams: ['in'] },
      log: new MemoryBroker({ clock: systemClock }).client('nobody'),
      clock: systemClock,
      random: new Random(1),
      tails,
      relayedThrough,
      past: {
        inheritedTo,
        // All streams here are younger than any commit could be.
        inheritedFromMs: Number.NEGATIVE_INFINITY,
        confirm: async () => {
          if (this.isReplaced) throw new MillraceError('FENCED', 'a later epoch has taken over');
        },
      },
      onProgress: () => this.#tell(),
      onFailed: error => {
        this.error ??= error;
        this.#tell();
      },
      meter: noMeter,
    });
  }

  #tell(): void {
    for (const told of this.#waiting.splice(0)) told();
  }

  send(commit: number, rows: readonly string[] = texts(commit), sink = 'a'): void {
    this.relay.send(commit, outboxOf(rows, { sink, ...this.#place.to(sink) }), 0);
  }

  /** Opens; false: it was refused, by itself or by what waits. */
  open(): Promise<boolean> {
    const opening = this.relay.open().then(
      () => true,
      error => {
        this.error ??= error;
        return false;
      },
    );
    return Promise.race([opening, this.#failed()]);
  }

  async #failed(): Promise<false> {
    while (this.error === null) await new Promise<void>(resolve => this.#waiting.push(resolve));
    return false;
  }

  /** False: it has failed before all up to there was sent. */
  async sent(commit: number): Promise<boolean> {
    while (this.relay.relayedThrough < commit && this.error === null) {
      await new Promise<void>(resolve => this.#waiting.push(resolve));
    }
    return this.relay.relayedThrough >= commit;
  }

  /** As a commit would. */
  note(): void {
    Object.assign(this.tails, this.relay.takeTails());
  }

  stop(): void {
    this.relay.stop();
  }
}

function outboxOf(rows: readonly string[], to: Pick<OutRows, 'sink' | 'kind' | 'target' | 'addresses'>): Outbox {
  const lengths = rows.map(row => Buffer.byteLength(row));
  const block: OutRows = {
    ...to,
    addressOf: to.addresses.length === 0 ? [] : rows.map(() => 0),
    bytes: Buffer.from(rows.map(row => `${row}\n`).join('')),
    lengths,
    areLines: true,
    origins: rows.map((_, i) => i * 64),
    changes: null,
    keys: rows.map(() => null),
    timesMs: rows.map(() => 0),
  };
  return { frames: [], rows: [block] };
}

export function outletContract(name: string, traits: OutletTraits, makeRig: () => Promise<OutletRig>): void {
  describe(`an outlet, ${name}`, () => {
    let rig: OutletRig;
    let owners: Owner[] = [];
    before(async () => {
      rig = await makeRig();
    });
    after(() => rig.remove());

    const owner = (place: Place, options: OwnerOptions = {}) => {
      const made = new Owner(place, options);
      owners.push(made);
      return made;
    };

    /** A test with a destination of its own; all owners are stopped behind it. */
    const at = (what: string, body: (place: Place) => Promise<void>, times = 1) =>
      test(what, async () => {
        for (let i = 0; i < times; i++) {
          owners = [];
          try {
            await body(await rig.place());
          } finally {
            for (const each of owners) each.stop();
          }
        }
      });

    /** Sends one commit after the other, until a write of it strikes or all are in. Returns the last that was given. */
    const run = async (made: Owner, commits: readonly number[]): Promise<number> => {
      let given = 0;
      let isOver = false;
      const struck = made.faults.struck.then(() => {
        isOver = true;
      });
      await Promise.race([made.open(), struck]);
      for (const commit of commits) {
        if (isOver) break;
        made.note();
        made.send(commit);
        given = commit;
        await Promise.race([made.sent(commit), struck]);
      }
      return given;
    };

    /** The next owner: finds what the journal says, sends it and opens, as a task does. */
    const follow = async (place: Place, inheritedTo: number, options: OwnerOptions = {}): Promise<Owner> => {
      const next = owner(place, { inheritedTo, ...options });
      for (let commit = (options.relayedThrough ?? 0) + 1; commit <= inheritedTo; commit++) next.send(commit);
      await next.open();
      await next.sent(inheritedTo);
      return next;
    };

    const once = (through: number) => Array.from({ length: through }, (_, i) => texts(i + 1)).flat();

    at('takes rows of all commits, in order', async place => {
      const out = owner(place);
      assert.ok(await out.open());
      for (const commit of COMMITS) out.send(commit);
      assert.ok(await out.sent(3));
      assert.deepEqual(await place.rows(), once(3));
      assert.equal(out.relay.backlogBytes, 0);
    });

    at('takes none, one, very many and very large ones', async place => {
      const out = owner(place);
      assert.ok(await out.open());
      const commits = [[], texts(2, 1), texts(3, 2_500), texts(4, 30, 200_000), [], texts(6, 1)];
      for (const [i, rows] of commits.entries()) out.send(i + 1, rows);
      assert.ok(await out.sent(6), String(out.error));
      assert.deepEqual(
        (await place.rows()).map(row => row.slice(0, 20)),
        commits.flat().map(row => row.slice(0, 20)),
      );
    });

    at('takes each row once though an answer is lost, by itself or by the next owner', async () => {
      for (const write of WRITES) {
        const place = await rig.place();
        const out = owner(place, { faults: new Faults('lost', write) });
        await out.open();
        for (const commit of COMMITS) {
          out.send(commit);
          await out.sent(commit);
        }
        if (out.error !== null) {
          assert.ok(isMillraceError(out.error) && out.error.fate === 'retry', String(out.error));
          const next = await follow(place, 3);
          assert.equal(next.error, null);
        }
        assert.deepEqual(await place.rows(), once(3), `the answer of write ${write}`);
      }
    });

    at('takes each row once though its owner dies at a write, whatever the journal remembers of it', async () => {
      for (const fault of ['dies before', 'dies after'] as const) {
        for (const write of WRITES) {
          for (const remembers of [true, false]) {
            const place = await rig.place();
            const former = owner(place, { faults: new Faults(fault, write) });
            const given = await run(former, COMMITS);
            former.isReplaced = true;
            const next = await follow(
              place,
              given,
              remembers ? { tails: former.tails, relayedThrough: Math.max(0, given - 1) } : {},
            );
            assert.equal(next.error, null, `${fault} ${write}`);
            for (let commit = given + 1; commit <= 4; commit++) next.send(commit);
            assert.ok(await next.sent(4));
            assert.deepEqual(await place.rows(), once(4), `${fault} ${write}, remembers: ${remembers}`);
          }
        }
      }
    });

    at('takes nothing that a fenced owner writes late, while its next one begins or after it has sent', async () => {
      for (const lands of ['meanwhile', 'after'] as const) {
        for (const write of WRITES) {
          const place = await rig.place();
          const former = owner(place, { faults: new Faults('held', write) });
          const given = await run(former, COMMITS);
          former.isReplaced = true;
          const isHeld = former.faults.writes > write;
          const next = owner(place, { inheritedTo: given });
          for (let commit = 1; commit <= given; commit++) next.send(commit);
          const opening = next.open();
          if (isHeld && lands === 'meanwhile') await former.faults.release();
          assert.ok(await opening, String(next.error));
          for (let commit = given + 1; commit <= 4; commit++) next.send(commit);
          assert.ok(await next.sent(4), String(next.error));
          if (isHeld && lands === 'after') await former.faults.release();
          next.send(5);
          assert.ok(await next.sent(5), String(next.error));
          assert.deepEqual(await place.rows(), once(5), `write ${write} lands ${lands}`);
        }
      }
    });

    at('begins nothing after it was stopped, and is gone on after by the next', async () => {
      for (const write of WRITES) {
        const place = await rig.place();
        const former = owner(place, { faults: new Faults('held', write) });
        const given = await run(former, COMMITS);
        former.stop();
        if (former.faults.writes > write) {
          await former.faults.release();
          for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate);
          assert.equal(former.faults.writes, write + 1);
        }
        const next = await follow(place, given);
        for (let commit = given + 1; commit <= 4; commit++) next.send(commit);
        assert.ok(await next.sent(4), String(next.error));
        assert.deepEqual(await place.rows(), once(4), `write ${write}`);
      }
    });

    at('takes the rows of two sinks that lead to one destination', async place => {
      for (const restarted of [false, true]) {
        const out = owner(place, restarted ? { inheritedTo: 4 } : {});
        if (!restarted) await out.open();
        for (let commit = 1; commit <= 4; commit++) {
          out.send(commit, texts(commit), commit % 2 === 0 ? 'a' : 'b');
          if (!restarted) assert.ok(await out.sent(commit));
        }
        if (restarted) assert.ok(await out.open());
        assert.ok(await out.sent(4));
        assert.deepEqual(await place.rows(), once(4));
      }
    });

    if (traits.judges) {
      at(
        'refuses a destination that was put back to before what the journal remembers (*every tail compared*)',
        async place => {
          const former = owner(place);
          await former.open();
          let mark = 0;
          for (const commit of COMMITS) {
            mark = await place.mark();
            former.send(commit);
            assert.ok(await former.sent(commit));
          }
          former.note();
          former.stop();
          await place.putBack(mark);
          const next = owner(place, { tails: former.tails, relayedThrough: 3, inheritedTo: 3 });
          assert.equal(await next.open(), false);
          assert.ok(isMillraceError(next.error, 'CHAIN_BROKEN'), String(next.error));
          assert.deepEqual(await place.rows(), once(2));
        },
      );

      at(
        'refuses one that was emptied while rows wait that may have been in it (*every tail compared*)',
        async place => {
          const former = owner(place);
          await run(former, COMMITS);
          former.stop();
          await place.putBack(0);
          const next = await follow(place, 3);
          assert.ok(isMillraceError(next.error, 'CHAIN_BROKEN'), String(next.error));
          assert.deepEqual(await place.rows(), []);
        },
      );

      at(
        'sends nothing to one that says more than the journal, or says that it was fenced (*every tail compared*)',
        async () => {
          for (const fenced of [false, true]) {
            const place = await rig.place();
            const former = owner(place);
            await run(former, [1, 2, 5]);
            former.stop();
            const next = owner(place, { inheritedTo: 4 });
            next.isReplaced = fenced;
            for (const commit of [3, 4]) next.send(commit);
            assert.equal(await next.open(), false);
            assert.ok(isMillraceError(next.error, fenced ? 'FENCED' : 'CHAIN_BROKEN'), String(next.error));
            assert.equal(next.relay.relayedThrough, 0);
            assert.deepEqual(
              await place.rows(),
              [1, 2, 5].flatMap(commit => texts(commit)),
            );
          }
        },
      );
    } else {
      at('asks a destination nothing: what waits is sent, whatever became of what was there', async place => {
        const former = owner(place);
        await run(former, COMMITS);
        former.stop();
        await place.putBack(0);
        const next = owner(place, { inheritedTo: 3, relayedThrough: 3 });
        assert.ok(await next.open());
        next.send(4);
        assert.ok(await next.sent(4));
        assert.deepEqual(await place.rows(), texts(4));
      });
    }
  });
}
