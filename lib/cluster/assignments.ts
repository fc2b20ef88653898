/**
 * Assignments: who owns and who follows each part of a pipeline, as the cluster's registry keeps it. One document a pipeline,
 * `assignments.<name>`, written by the leader by compare-and-set; each worker reads from it what is his. Nothing is commanded,
 * everything can be repeated, and a leader that dies in the middle leaves a document that is still right.
 *
 * An assignment's number is the registry's revision of its document, so a later one has a later number whoever wrote it. All
 * of it is a hint: two workers that go by different documents cost time, never a record (*one owner*, *one reader*).
 */
import type { Registry, RegistryEntry } from '../port/registry.ts';
import type { Assignment, Part } from '../topology/parts.ts';

export interface PartAssignment {
  /** Null: nobody, as there is nobody. */
  readonly owner: string | null;
  /** Workers that keep a replica of it, by preference. */
  readonly followers: readonly string[];
  /** Its owner before, who is there still and releases it; null: there is none to wait for. */
  readonly from: string | null;
}

export type Parts = ReadonlyMap<Part, PartAssignment>;

/** A document and the registry revision that it was read at. */
export interface HeldParts {
  readonly parts: Parts;
  readonly at: number;
}

const PREFIX = 'assignments.';

export class Assignments {
  readonly #registry: Registry;
  readonly #held = new Map<string, HeldParts>();
  /** Documents that somebody has deleted or written over: what they said counts until they are written anew. */
  readonly #damaged = new Map<string, number>();
  readonly #changed: (pipeline: string) => void;

  /** @param changed called with every change of a pipeline's that is heard of, our own too. */
  constructor(registry: Registry, changed: (pipeline: string) => void) {
    this.#registry = registry;
    this.#changed = changed;
  }

  /** The last that was heard of a pipeline's; null: there is none. */
  of(pipeline: string): HeldParts | null {
    return this.#held.get(pipeline) ?? null;
  }

  /** It is in the registry, as far as was heard. */
  isStored(pipeline: string): boolean {
    return this.#held.has(pipeline) && !this.#damaged.has(pipeline);
  }

  /** Hears of all that there are before it resolves, and then of every change. */
  watch(): Promise<{ stop(): Promise<void> }> {
    return this.#registry.watch(PREFIX, (key, entry) => this.#hear(key.slice(PREFIX.length), entry));
  }

  /** False: somebody else was first, or it is not known whether it landed; what is there is heard of later. */
  async put(pipeline: string, parts: Parts): Promise<boolean> {
    const key = PREFIX + pipeline;
    const expect = this.#damaged.get(pipeline) ?? this.#held.get(pipeline)?.at ?? 0;
    const value = writeParts(parts);
    const at = await this.#registry.put(key, value, { expect });
    if (at === null) this.#hear(pipeline, await this.#registry.get(key));
    else this.#hear(pipeline, { key, value, revision: at });
    return at !== null;
  }

  /** What is heard late of an earlier one is no news. */
  #hear(pipeline: string, entry: RegistryEntry | null): void {
    const held = this.#held.get(pipeline);
    if (entry !== null && held !== undefined && held.at >= entry.revision) return;
    const parts = entry === null ? null : readParts(entry.value);
    if (parts === null) this.#damaged.set(pipeline, entry?.revision ?? 0);
    else {
      this.#damaged.delete(pipeline);
      this.#held.set(pipeline, { parts, at: entry!.revision });
    }
    this.#changed(pipeline);
  }
}

/** What of it is one worker's; null: nothing is. */
export function shareOf({ parts, at }: HeldParts, worker: string): Assignment | null {
  const owned: Part[] = [];
  const follows: Part[] = [];
  const awaits: Part[] = [];
  for (const [part, { owner, followers, from }] of parts) {
    if (owner === worker) owned.push(part);
    else if (followers.includes(worker)) follows.push(part);
    if (owner === worker && from !== null) awaits.push(part);
  }
  return owned.length + follows.length === 0 ? null : { number: at, parts: owned, follows, awaits };
}

/** By worker, how many parts it owns. */
export function ownersOf(held: HeldParts | null): ReadonlyMap<string, number> {
  const owners = new Map<string, number>();
  for (const { owner } of held?.parts.values() ?? []) {
    if (owner !== null) owners.set(owner, (owners.get(owner) ?? 0) + 1);
  }
  return owners;
}

/** By worker, so that each name stands once: owners are numbers in that list. */
function writeParts(parts: Parts): Uint8Array {
  const workers: string[] = [];
  const numberOf = (name: string | null) => {
    if (name === null) return -1;
    const known = workers.indexOf(name);
    return known < 0 ? workers.push(name) - 1 : known;
  };
  const rows = Array.from(parts, ([part, { owner, followers, from }]) => [
    part,
    numberOf(owner),
    followers.map(numberOf),
    numberOf(from),
  ]);
  return Buffer.from(JSON.stringify({ workers, parts: rows }));
}

/** Null: no leader has written it. */
function readParts(value: Uint8Array): Parts | null {
  const parts = new Map<Part, PartAssignment>();
  try {
    const { workers, parts: rows } = JSON.parse(Buffer.from(value).toString()) as {
      workers: string[];
      parts: [string, number, number[], number][];
    };
    for (const [part, owner, followers, from] of rows) {
      const followersNamed = followers.flatMap(number => workers[number] ?? []);
      parts.set(part, { owner: workers[owner] ?? null, followers: followersNamed, from: workers[from] ?? null });
    }
    return parts;
  } catch {
    return null;
  }
}
