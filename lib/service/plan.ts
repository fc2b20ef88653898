/**
 * What a deploy of a bundle would come to: whether it would be accepted, why not, and what would change. Asked of a worker,
 * or straight of the broker by whoever has no worker: both judge alike, and change nothing.
 */
import { MillraceError } from '../base/errors.ts';
import type { Bundle } from '../bundle/bundle.ts';
import type { Judged } from '../bundle/compile.ts';
import { judgeClaim, type Owners } from '../cluster/owners.ts';
import type { LookAtResults } from '../cluster/results.ts';
import { isGone, nextLife, type PipelineSpec, type Specs } from '../cluster/specs.ts';
import { differenceOf } from '../topology/difference.ts';
import type { Remembered } from './remembered.ts';

export type DeployOutcome = 'created' | 'updated' | 'unchanged' | 'resumed' | 'incompatible';

export interface PlanAnswer {
  readonly name: string;
  readonly text: string;
  readonly summary: unknown;
  readonly fingerprint: string;
  /** What a deploy would do. */
  readonly outcome: DeployOutcome;
  readonly incompatibilities: readonly string[];
  /** What else is in the way of a deploy: whose subjects, or a delete that is under way; empty: nothing. */
  readonly refusals: readonly string[];
  /** What is on the output subjects already. */
  readonly notices: readonly string[];
  /** What is deployed under the name, or has left its state; empty: nothing. */
  readonly deployed: string;
  /** What would change of it, a line each that begins with `+`, `-`, `~`, or `=` for state that goes on. */
  readonly differences: readonly string[];
}

/** What judges a bundle. */
export interface Judge {
  /** Throws PLAN_INVALID with all mistakes and their places. */
  plan(bundle: Bundle): Promise<Judged>;
  /** Why state of `before` cannot be read by `after`, both summaries; empty: it can. */
  incompatibilities(before: unknown, after: unknown): readonly string[];
  readonly remembered: Remembered;
  readonly results: LookAtResults;
}

/** What a deploy of `planned` over `before` comes to; pure. */
function judgeDeploy(
  before: PipelineSpec | null,
  next: { bundle: string; summary: unknown },
  incompatibilities: Judge['incompatibilities'],
): { outcome: DeployOutcome; reasons: readonly string[] } {
  if (before === null || (isGone(before) && before.purge)) return { outcome: 'created', reasons: [] };
  const deleted = before.desired === 'deleted';
  if (!deleted && before.bundle === next.bundle) return { outcome: 'unchanged', reasons: [] };
  const reasons = incompatibilities(before.summary, next.summary);
  if (reasons.length > 0) return { outcome: 'incompatible', reasons };
  return { outcome: deleted ? 'resumed' : 'updated', reasons: [] };
}

/** A delete that is under way must come to its end before the name can be used again. */
export function isBeingDeleted(spec: PipelineSpec | null): boolean {
  return spec !== null && spec.desired === 'deleted' && !isGone(spec);
}

export function beingDeletedText(name: string): string {
  return `pipeline ${name} is being deleted; try again in a moment`;
}

/** What a deploy replaces. */
export interface Replaced {
  readonly before: PipelineSpec | null;
  /** At which revision of the registry. */
  readonly at: number;
  /** What an entry says that is not trusted, where nothing is known of what was before it. Null: nothing, or it is known. */
  readonly said: PipelineSpec | null;
  /** The entry says nothing that could be loaded: it is to be written anew, whatever else is as it was. */
  readonly isDamaged: boolean;
}

/** What a spec that cannot be read or trusted has replaced, as far as somebody knows it. */
export type KnownSpec = (name: string) => PipelineSpec | null;

/**
 * What cannot be trusted or read is nobody's word: it makes room, for what was known before it if anything. Throws
 * PLAN_INCOMPATIBLE: state that another version has written does not.
 */
export async function replacedBy(name: string, specs: Specs, known: KnownSpec): Promise<Replaced> {
  const entry = await specs.entry(name);
  if (entry === null) return { before: null, at: 0, said: null, isDamaged: false };
  const { found, at, said } = entry;
  if (!(found instanceof MillraceError)) return { before: found, at, said: null, isDamaged: false };
  if (found.code === 'PLAN_INCOMPATIBLE') throw found;
  const before = known(name);
  return { before, at, said: before === null ? said : null, isDamaged: true };
}

/**
 * As `judgeDeploy`. Where all that there is of what was deployed is not trusted, its state is there all the same: a deploy
 * that could not read it would leave nobody who can.
 */
export function judgeReplaced(
  { before, said }: Pick<Replaced, 'before' | 'said'>,
  next: { bundle: string; summary: unknown },
  incompatibilities: Judge['incompatibilities'],
): { outcome: DeployOutcome; reasons: readonly string[] } {
  if (said === null || (isGone(said) && said.purge)) return judgeDeploy(before, next, incompatibilities);
  const reasons = incompatibilities(said.summary, next.summary);
  if (reasons.length === 0) return { outcome: 'updated', reasons };
  const doubt = `that is by a spec which is not trusted: if it is not yours, delete the key pipelines.${said.name} of the registry's bucket, and deploy`;
  return { outcome: 'incompatible', reasons: [...reasons, doubt] };
}

/** @param cluster null: nothing has ever been deployed on this broker. Throws PLAN_INVALID. */
export async function planDeploy(
  bundle: Bundle,
  judge: Judge,
  cluster: { readonly specs: Specs; readonly owners: Owners; readonly known: KnownSpec } | null,
): Promise<PlanAnswer> {
  const { summary, text } = await judge.plan(bundle);
  const { pipeline: name, fingerprint } = summary;
  const [replaced, specs, owned, remembered, results] = await Promise.all([
    cluster === null ? null : replacedBy(name, cluster.specs, cluster.known),
    cluster?.specs.readable() ?? [],
    cluster?.owners.read() ?? [],
    judge.remembered(summary),
    judge.results(summary),
  ]);
  const { before = null, said = null } = replaced ?? {};
  const next = { bundle: bundle.hash, summary };
  const { outcome, reasons } = judgeReplaced({ before, said }, next, judge.incompatibilities);
  const { life } = nextLife(name, before, remembered);
  const claim = judgeClaim(owned, { pipeline: name, life, results }, { specs, takeOver: () => false });
  const known = outcome === 'created' ? null : (before ?? said);
  return {
    name,
    text,
    summary,
    fingerprint,
    outcome,
    incompatibilities: reasons,
    refusals: isBeingDeleted(before) ? [beingDeletedText(name), ...claim.refusals] : claim.refusals,
    notices: [...claim.notices, ...summary.warnings],
    deployed: known === null ? '' : deployedText(known),
    differences:
      known === null || outcome === 'unchanged'
        ? []
        : differenceOf(known.summary, summary, { readsState: outcome !== 'incompatible' }),
  };
}

function deployedText({ revision, file, desired, deployedAtMs }: PipelineSpec): string {
  const state = { running: '', paused: ', paused', deleted: ', deleted with its state kept' }[desired];
  return `revision ${revision} of ${file}, of ${new Date(deployedAtMs).toISOString().slice(0, 19)}Z${state}`;
}
