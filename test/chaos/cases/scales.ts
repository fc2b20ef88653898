/** Workers that come and go as they should. */
import { pause } from '../../bench/scene.ts';
import type { Case } from '../cases.ts';

const drain: Case = {
  name: 'drain',
  about: 'SIGTERM of a worker that does not lead: it hands over what it has, and is started again',
  weight: 2,
  async play(stage, random) {
    const { other } = await stage.roles(random);
    await stage.terminate(other);
    await pause(random.between(0, 2_000));
    await stage.start(other);
  },
};

const scale: Case = {
  name: 'scale',
  about: 'one more worker comes, is given its share, and ends some seconds later, by SIGTERM or without a word',
  weight: 2,
  async play(stage, random) {
    const post = await stage.join();
    if (post === null) return;
    await pause(random.between(1_000, 6_000));
    if (random.chance(0.3)) await stage.kill(post);
    await stage.dismiss(post);
  },
};

export default [drain, scale];
