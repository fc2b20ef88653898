/**
 * What the broker remembers of a pipeline that the registry does not know: its life and its latest revision, from its
 * journals. So a registry that was lost takes nothing with it: deployed again, a pipeline goes on from its state.
 */

import type { RememberedLife } from '../cluster/specs.ts';
import { decodeHead } from '../journal/entry.ts';
import type { Blobs } from '../port/blob.ts';
import type { Log } from '../port/log.ts';
import { begunBlob, journalStream, journalSubject, journalsOfAllLives, lifeOfJournal } from '../record/names.ts';
import type { PlanSummary } from '../topology/summary.ts';

/** What the broker remembers of a pipeline that the registry does not know; null: nothing. */
export type Remembered = (plan: Pick<PlanSummary, 'pipeline' | 'stages'>) => Promise<RememberedLife | null>;

/** @param blobs of the cluster; null: it has none yet. */
export function pipelineFinder(log: Log, blobs: Pick<Blobs, 'get'> | null): Remembered {
  return async plan => {
    const { pipeline } = plan;
    const streams = await log.streamsOf(journalsOfAllLives(pipeline));
    const life = streams.map(stream => lifeOfJournal(pipeline, stream)).find(found => found !== null);
    if (life === undefined) return null;
    const deployment = { pipeline, life };
    let revision = 0;
    for (const { name, partitions } of plan.stages) {
      for (let partition = 0; partition < partitions; partition++) {
        const subject = journalSubject(deployment, { stage: name, partition });
        const tail = await log.last({ stream: journalStream(deployment), subject });
        if (tail !== null) revision = Math.max(revision, decodeHead(tail.data).revision);
      }
    }
    // Which life has begun stands in the blobs of its own cluster.
    const isOurs = blobs !== null && (await blobs.get(begunBlob(deployment))) !== null;
    return isOurs || revision > 0 ? { life, revision, isOurs } : null;
  };
}
