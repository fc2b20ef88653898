/**
 * Delivery under attack: two hundred histories of a simulated cluster, each with its own faults, and in each nothing
 * lost, nothing doubled, nothing reordered per key. A seed that fails here fails always: `replay.ts` shows it.
 *
 * What the histories must contain for that to mean anything is counted, and checked at the end.
 */
import assert from 'node:assert/strict';
import { testApart } from '../rig/apart.ts';
import { play } from './history.ts';

const HISTORIES = Number(process.env.SIM_HISTORIES ?? 200);
const FIRST_SEED = Number(process.env.SIM_SEED ?? 1);

testApart(`${HISTORIES} histories lose nothing, double nothing and keep order`, import.meta.url, async () => {
  const seen = {
    ...{ crashes: 0, freezes: 0, cuts: 0, twoHosts: 0, silences: 0, oneSided: 0, ended: 0 },
    ...{ fenced: 0, fromStore: 0, fromSnapshot: 0, replayed: 0, brokenOff: 0 },
    ...{ followed: 0, promoted: 0 },
  };
  for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) {
    const { wrong, cluster, weather, story } = await play(seed);
    assert.equal(wrong, null, `seed ${seed} (node --import tsx test/sim/replay.ts ${seed}): ${wrong}`);
    seen.crashes += weather.crashes;
    seen.freezes += weather.freezes;
    seen.cuts += weather.cuts;
    seen.twoHosts += weather.hosts - 1;
    seen.silences += story.silences;
    if (story.isOneSided) seen.oneSided++;
    if (story.isEnded) seen.ended++;
    seen.followed += cluster.followed;
    seen.promoted += cluster.promoted;
    seen.brokenOff += cluster.broker.brokenOff;
    for (const event of cluster.events) {
      if (event.event === 'task.fenced') seen.fenced++;
      if (event.event !== 'task.restored') continue;
      if (event.from === 'store') seen.fromStore++;
      if (event.from === 'snapshot') seen.fromSnapshot++;
      if (Number(event.commitsReplayed) > 0) seen.replayed++;
    }
  }
  for (const [what, times] of Object.entries(seen))
    assert.ok(times > HISTORIES / 20, `${what} was seen ${times} times`);
});
