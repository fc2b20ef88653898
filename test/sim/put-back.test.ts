/**
 * Histories in which the broker loses the tail of one stream: it is put back to an older copy, as after a restore from a
 * backup, under whatever else goes wrong. The pipeline must say so, or come to the right answer all the same; it must never
 * go on with what is left.
 */
import assert from 'node:assert/strict';
import { testApart } from '../rig/apart.ts';
import { isAlarm, play } from './history.ts';

const HISTORIES = Number(process.env.SIM_PUT_BACK ?? 60);
const FIRST_SEED = Number(process.env.SIM_SEED ?? 20_001);

testApart(
  `${HISTORIES} histories with a stream that was put back end in an alarm or in the right answer`,
  import.meta.url,
  async () => {
    const seen = new Map<string, { alarms: number; right: number }>();
    for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) {
      const { wrong, cluster } = await play(seed, { putsBack: true });
      assert.equal(wrong, null, `seed ${seed} (node --import tsx test/sim/replay.ts ${seed} put-back): ${wrong}`);
      const kind = cluster.putBack?.replace(/^MR_story_[^_]+_/, '') ?? 'none';
      const { alarms, right } = seen.get(kind) ?? { alarms: 0, right: 0 };
      seen.set(kind, isAlarm(cluster.failure) ? { alarms: alarms + 1, right } : { alarms, right: right + 1 });
    }
    for (const [kind, { alarms }] of seen) {
      if (kind !== 'none') assert.ok(alarms > 0, `${kind} was put back and never missed`);
    }
    assert.ok(seen.size >= 6, `put back were ${[...seen.keys()]}`);
  },
);
