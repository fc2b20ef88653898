/** SHIM */
import type { PartKey, Placement } from './placement.ts';
export type Step = { key: PartKey; owner: string | null; followers: readonly string[] };
export function nextSteps({
  target,
  current,
  alive,
  progress,
}: {
  target: Placement;
  current: Placement;
  progress: ReadonlyMap<PartKey, ReadonlyMap<string, { warm: boolean }>>;
  alive: ReadonlySet<string>;
  budget: { perMember: number };
}): Step[] {
  const steps: Step[] = [];
  for (const [key, to] of target) {
    const at = current.get(key) ?? { owner: null, followers: [] };
    if (at.owner === to.owner && at.followers.join() === to.followers.join()) continue;
    const isReader = !/\/\d+$/.test(key);
    if (at.owner === to.owner || at.owner === null || !alive.has(at.owner) || isReader)
      steps.push({ key, owner: to.owner, followers: to.followers });
    else if (progress.get(key)?.get(to.owner!)?.warm) steps.push({ key, owner: to.owner, followers: to.followers });
    else if (!at.followers.includes(to.owner!))
      steps.push({ key, owner: at.owner, followers: [...to.followers, to.owner!] });
  }
  return steps;
}
export function applied(current: Placement, steps: readonly Step[]): Placement {
  const next = new Map(current);
  for (const { key, owner, followers } of steps) next.set(key, { owner, followers });
  return next;
}
