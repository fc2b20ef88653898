/**
 * Plays one history again and shows what happened in it: `node --import tsx test/sim/replay.ts SEED`, with `put-back` after
 * it for one of `put-back.test.ts`, with `workers` for one of `workers.test.ts`.
 */
import { play } from './history.ts';
import { play as playWorkers } from './workers-history.ts';

const seed = Number(process.argv[2] ?? 1);
const kind = process.argv[3];
const startMs = performance.now();
const { wrong, cluster, weather } =
  kind === 'workers' ? await playWorkers(seed) : await play(seed, { putsBack: kind === 'put-back' });
for (const event of cluster.events) console.log(JSON.stringify(event));
console.log(
  JSON.stringify({ seed, weather, limits: cluster.limits, virtualMs: Math.round(cluster.clock.monotonic()) }),
);
console.log(`took ${Math.round(performance.now() - startMs)} ms`);
console.log(wrong === null ? 'nothing lost, nothing doubled, nothing reordered' : `WRONG: ${wrong}`);
process.exitCode = wrong === null ? 0 : 1;
