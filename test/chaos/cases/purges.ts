/** A pipeline is purged and deployed again while a worker that was carrying the purge out stands still. */
import { isMillraceError, messageOf } from '../../../lib/base/errors.ts';
import { AdminClient } from '../../../lib/control/client.ts';
import { pause } from '../../bench/scene.ts';
import { OUTPUTS } from '../answer.ts';
import type { Case } from '../cases.ts';

type Player = Parameters<Case['play']>[0];

const GONE_MS = 40_000;
/** What the worker still had to do, it has done or given up by then. */
const AFTER_MS = 3_000;

const freezeInPurge: Case = {
  name: 'freeze-in-purge',
  about:
    'SIGSTOP of the active worker in a purge; the other one purges, the pipeline is deployed again, then SIGCONT: all of it is there',
  weight: 0.5,
  isAlone: true,
  async play(stage, random) {
    const { active, other } = await stage.roles(random);
    const client = new AdminClient({ address: other.worker.address, timeoutMs: 5_000 });
    try {
      stage.note('purge');
      const purging = client.delete('story', { purge: true }).catch((error: unknown) => stage.note(messageOf(error)));
      await pause(random.between(0, 400));
      stage.freeze(active);
      await purging;
      await gone(stage, client);
      stage.note('purged');
      const { streams } = await stage.connection.jetstreamManager();
      // What a new life computes again would be there twice.
      for (const name of OUTPUTS) await streams.delete(name);
      await stage.deploy();
      await stage.running();
      const made = await ownStreams(stage);
      await pause(random.between(0, 3_000));
      stage.thaw(active);
      await pause(AFTER_MS);
      const left = await ownStreams(stage);
      const lost = made.filter(stream => !left.includes(stream));
      if (lost.length > 0)
        throw new Error(`of the pipeline that was deployed again these are gone: ${lost.join(', ')}`);
    } finally {
      client.close();
      stage.thaw(active);
    }
  },
};

async function gone(stage: Player, client: AdminClient): Promise<void> {
  for (const untilMs = performance.now() + GONE_MS; performance.now() < untilMs; await pause(200)) {
    try {
      await client.get('story');
    } catch (error) {
      if (isMillraceError(error, 'NOT_FOUND')) return;
      stage.note(messageOf(error));
    }
  }
  throw new Error('the purge did not come to its end');
}

/** The streams of a pipeline that there are, each with when it was made. */
async function ownStreams(stage: Player): Promise<string[]> {
  const { streams } = await stage.connection.jetstreamManager();
  const found = await streams.list().next();
  return found
    .filter(({ config }) => config.name.startsWith('MR_story_'))
    .map(({ config, created }) => `${config.name} of ${created}`);
}

export default freezeInPurge;
