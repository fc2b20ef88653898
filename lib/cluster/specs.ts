/**
 * Pipeline specs: what should run, as the cluster's registry keeps it. One entry a pipeline, `pipelines.<name>`, changed
 * only by compare-and-set; deploys write the desired state here, the active worker brings it about.
 *
 * An entry is never deleted. What is left after a delete is a tombstone: it keeps the revision growing for ever, and as
 * long as state was kept, what that state can be read by.
 */
import { randomBytes } from 'node:crypto';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import type { Registry, RegistryEntry } from '../port/registry.ts';
import { journalStream } from '../record/names.ts';
import { type SpecKeys, seal, unseal } from './spec-keys.ts';

/** What deleting a pipeline left behind, or with a purge took away; each a line for a person. */
export interface Remains {
  readonly kept: readonly string[];
  readonly deleted: readonly string[];
}

export interface PipelineSpec {
  readonly name: string;
  /** See `Deployment`. */
  readonly life: string;
  /** Lives whose purge was carried out, the latest last: what a frozen worker writes of them afterwards is swept. */
  readonly purged: readonly string[];
  /** By owned sink: `NatsTarget.sinceSeq`. */
  readonly since: Readonly<Record<string, number>>;
  /** From 1; grows by one with every change of what is desired. */
  readonly revision: number;
  /** SHA-256 of the bundle in the blobs, 64 hex digits. */
  readonly bundle: string;
  /** The revision since which that bundle has run. */
  readonly program: number;
  /** Other bundles that have run before it in this life, the latest first: what they have begun may need them. */
  readonly former: readonly string[];
  /** The user's file that the bundle was made from. */
  readonly file: string;
  /** `paused`: stopped with its state kept, until it is resumed. */
  readonly desired: 'running' | 'paused' | 'deleted';
  /** With `deleted`: state goes too. */
  readonly purge: boolean;
  /** Set when a delete has been carried out: what is left. */
  readonly remains: Remains | null;
  readonly fingerprint: string;
  /** The plan as JSON, to judge the next deploy by. */
  readonly summary: unknown;
  /** The plan as text, for people. */
  readonly text: string;
  /** When this revision was made: wall clock of the worker that was asked, ms since 1970. */
  readonly deployedAtMs: number;
  /** The identity that asked for this revision; null: it was not known, as before there were any. */
  readonly deployedBy: string | null;
}

/** A spec and the registry revision it was read at. */
export interface HeldSpec {
  readonly spec: PipelineSpec;
  readonly at: number;
}

/** What lies under a pipeline's name: its spec, or why there is none that can be read or trusted. */
export interface SpecEntry {
  readonly name: string;
  readonly at: number;
  readonly found: PipelineSpec | MillraceError;
  /** What it says though it is not trusted: enough to be careful with what may be there, and for nothing else. */
  readonly said: PipelineSpec | null;
}

const PREFIX = 'pipelines.';

export class Specs {
  readonly #registry: Registry;
  readonly #keys: SpecKeys | null;

  /** @param keys what specs are signed and known by; null: every spec is taken. */
  constructor(registry: Registry, keys: SpecKeys | null = null) {
    this.#registry = registry;
    this.#keys = keys;
  }

  /** Throws JOURNAL_CORRUPT, PLAN_INCOMPATIBLE (another version's), SPEC_UNTRUSTED. */
  async get(name: string): Promise<HeldSpec | null> {
    const entry = await this.entry(name);
    if (entry === null) return null;
    if (entry.found instanceof MillraceError) throw entry.found;
    return { spec: entry.found, at: entry.at };
  }

  async entry(name: string): Promise<SpecEntry | null> {
    if (!isPipelineName(name)) return null;
    const entry = await this.#registry.get(PREFIX + name);
    return entry === null ? null : this.#entryOf(entry);
  }

  /** Sorted by name. */
  async entries(): Promise<SpecEntry[]> {
    const entries = (await this.#registry.list(PREFIX)).map(entry => this.#entryOf(entry));
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Throws as `get`, because of any. */
  async all(): Promise<PipelineSpec[]> {
    return (await this.entries()).map(({ found }) => {
      if (found instanceof MillraceError) throw found;
      return found;
    });
  }

  /** Without those that cannot be read or trusted: these are in nobody's way but their own pipeline's. */
  async readable(): Promise<PipelineSpec[]> {
    return (await this.entries()).flatMap(({ found }) => (found instanceof MillraceError ? [] : [found]));
  }

  /** Replaces what was read at `at` (0: nothing was there). False: somebody else was first. Throws SPEC_UNTRUSTED. */
  async put(spec: PipelineSpec, at: number): Promise<boolean> {
    const place = PREFIX + spec.name;
    const value = seal(place, JSON.stringify(spec), this.#keys);
    return (await this.#registry.put(place, value, { expect: at })) !== null;
  }

  /** Calls `changed` with every spec there is and then with each change; `unreadable` for an entry that is damaged. */
  watch(
    changed: (spec: PipelineSpec) => void,
    unreadable: (error: MillraceError) => void,
  ): Promise<{ stop(): Promise<void> }> {
    return this.#registry.watch(PREFIX, (key, entry) => {
      if (entry === null) {
        const name = key.slice(PREFIX.length);
        unreadable(
          new MillraceError('NOT_FOUND', `the spec of pipeline ${name} was deleted from the registry by hand`),
        );
        return;
      }
      const { found } = this.#entryOf(entry);
      if (found instanceof MillraceError) unreadable(found);
      else changed(found);
    });
  }

  #entryOf(entry: RegistryEntry): SpecEntry {
    const name = entry.key.slice(PREFIX.length);
    const at = entry.revision;
    try {
      const spec = decodeSpec(entry, this.#keys);
      return { name, at, found: spec, said: spec };
    } catch (error) {
      if (isMillraceError(error)) return { name, at, found: error, said: saidBy(entry) };
      throw error;
    }
  }
}

function elsewhere(pipeline: string, life: string): MillraceError {
  const text = `pipeline ${pipeline} is there in this account, and not of the cluster of this bucket: take another name; or, if its own bucket is lost, delete the stream ${journalStream({ pipeline, life })} and what it knows`;
  return new MillraceError('SUBJECT_OWNED', text);
}

const PURGED_MAX = 16;

/** What the journals say of a pipeline. */
export interface RememberedLife {
  readonly life: string;
  readonly revision: number;
  /** False: it is of a cluster with another bucket. */
  readonly isOurs: boolean;
}

/**
 * The life and revision of what is deployed over `before`, and which lives are over. `remembered`: what the journals know of
 * the pipeline, where the registry does not, or was put back to an older copy: revisions go on from the latest that is known
 * to either, since no older one takes over a journal. Throws SUBJECT_OWNED: another cluster of the account runs it.
 */
export function nextLife(
  name: string,
  before: PipelineSpec | null,
  remembered: RememberedLife | null,
): Pick<PipelineSpec, 'life' | 'purged' | 'revision'> {
  if (before === null) {
    if (remembered?.isOurs === false) throw elsewhere(name, remembered.life);
    return { life: remembered?.life ?? newLife(), purged: [], revision: (remembered?.revision ?? 0) + 1 };
  }
  const { life, purged } = before;
  const known = remembered?.life === life ? remembered.revision : 0;
  const revision = Math.max(before.revision, known) + 1;
  if (!isGone(before) || !before.purge) return { life, purged, revision };
  return { life: newLife(), purged: [...purged, life].slice(-PURGED_MAX), revision };
}

/**
 * As many as may be deployed without any of them getting as far as a first record. What lies further back is asked for in
 * vain, and PROGRAM_MISSING says so.
 */
const FORMER_MAX = 8;

/** What runs when `bundle` is deployed over `before`. */
export function nextProgram(
  before: PipelineSpec | null,
  { life, revision, bundle }: Pick<PipelineSpec, 'life' | 'revision' | 'bundle'>,
): Pick<PipelineSpec, 'program' | 'former'> {
  if (before === null || before.life !== life) return { program: revision, former: [] };
  const { program, former } = before;
  if (before.bundle === bundle) return { program, former };
  const others = former.filter(other => other !== bundle && other !== before.bundle);
  return { program: revision, former: [before.bundle, ...others].slice(0, FORMER_MAX) };
}

/** Ten random digits: no clock, no registry and no backup of one can make the same again. */
function newLife(): string {
  return randomBytes(5).toString('hex');
}

/** Deleted, and nothing is left to do. */
export function isGone(spec: PipelineSpec): boolean {
  return spec.desired === 'deleted' && spec.remains !== null;
}

export function isPipelineName(name: string): boolean {
  return /^[a-z0-9-]{1,40}$/.test(name);
}

function decodeSpec({ key, value, revision: at }: RegistryEntry, keys: SpecKeys | null): PipelineSpec {
  const name = key.slice(PREFIX.length);
  const { line, text } = unseal(value);
  const mistrust = keys?.mistrust(key, line, text) ?? null;
  if (mistrust !== null) throw untrusted(key, mistrust);
  let spec: PipelineSpec;
  try {
    spec = JSON.parse(text) as PipelineSpec;
  } catch (cause) {
    throw new MillraceError('JOURNAL_CORRUPT', `the spec of pipeline ${name} is not JSON; deploy it again`, { cause });
  }
  if (spec === null || spec.name !== name || !Number.isSafeInteger(spec.revision)) {
    throw new MillraceError('JOURNAL_CORRUPT', `the spec of pipeline ${name} is damaged; deploy it again`);
  }
  // What is older names no life, so its streams and blobs have other names, and nothing of it would be found or purged.
  if (typeof spec.life !== 'string' || !Number.isSafeInteger(spec.program) || !Array.isArray(spec.former)) {
    throw new MillraceError(
      'PLAN_INCOMPATIBLE',
      `the spec of pipeline ${name} was written by another version of Millrace, whose state this one does not read: purge the pipeline with that version, or delete the key ${key} of the registry's bucket; then deploy it again, or under another name`,
    );
  }
  const mistrustAge = keys?.mistrustAge(key, { revision: spec.revision, at }) ?? null;
  if (mistrustAge !== null) throw untrusted(key, mistrustAge);
  return { ...spec, deployedBy: typeof spec.deployedBy === 'string' ? spec.deployedBy : null };
}

/** What is shown of one. */
export function unreadableSpec(name: string): PipelineSpec {
  return {
    ...{ name, life: '', purged: [], since: {}, revision: 0, bundle: '', program: 0, former: [], file: '' },
    ...{ desired: 'running', purge: false, remains: null, fingerprint: '', summary: null, text: '' },
    ...{ deployedAtMs: 0, deployedBy: null },
  };
}

function saidBy(entry: RegistryEntry): PipelineSpec | null {
  try {
    return decodeSpec(entry, null);
  } catch {
    return null;
  }
}

function untrusted(key: string, why: string): MillraceError {
  const name = key.slice(PREFIX.length);
  return new MillraceError(
    'SPEC_UNTRUSTED',
    `the spec of pipeline ${name} ${why}, so it is not loaded: somebody else may write to the registry's bucket. What runs already goes on. Deploy the pipeline again, or delete the key ${key} of that bucket`,
  );
}
