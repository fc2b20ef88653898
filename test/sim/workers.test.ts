/**
 * Delivery by whole workers: histories in which they take over from one another by the lease, lose their engines, are stopped
 * and started, and are asked for deploys, pauses and restarts all the while. A seed that fails here fails always.
 *
 * What the histories must contain for that to mean anything is counted, and checked at the end.
 */
import assert from 'node:assert/strict';
import { testApart } from '../rig/apart.ts';
import { play } from './workers-history.ts';

const HISTORIES = Math.ceil(Number(process.env.SIM_HISTORIES ?? 200) * 0.3);
const FIRST_SEED = Number(process.env.SIM_SEED ?? 1);

testApart(
  `${HISTORIES} histories of whole workers lose nothing, double nothing and come to rest on one of them`,
  import.meta.url,
  async () => {
    const seen = new Map<string, number>();
    const count = (what: string, times = 1) => {
      if (times > 0) seen.set(what, (seen.get(what) ?? 0) + times);
    };
    for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) {
      const { wrong, cluster, done } = await play(seed);
      assert.equal(wrong, null, `seed ${seed} (node --import tsx test/sim/replay.ts ${seed} workers): ${wrong}`);
      for (const [what, times] of [...done, ...Object.entries(cluster.seen)]) count(what, times);
      for (const { event, code, why } of cluster.events) {
        count(code === undefined ? event : `${event} ${code}`);
        if (event === 'part.moved') count(`${event} ${why}`);
      }
    }
    for (const what of MUST_OCCUR) {
      assert.ok(seen.has(what), `${what} was never seen`);
    }
  },
);

const MUST_OCCUR = [
  ...['takeovers', 'bothActive', 'engines', 'silent', 'displaced'],
  ...['joined', 'retired', 'cordons', 'leadersLostInMoves', 'warmTakeovers'],
  ...['part.moved balance', 'part.moved draining', 'part.moved gone'],
  ...['lease.lost', 'lease.unreachable BROKER_UNAVAILABLE', 'task.fenced FENCED', 'task.fenced ASSIGNMENT_OUTDATED'],
  'reader.finishing',
  ...['deploy', 'pause', 'resume', 'restart', 'last pause', 'delete', 'deploy again'],
  ...['deployed while somebody was frozen', 'worker.stopped'],
];
