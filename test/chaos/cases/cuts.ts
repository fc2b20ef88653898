/** The network between a worker and the broker. */
import { pause } from '../../bench/scene.ts';
import type { Case } from '../cases.ts';

const cut: Case = {
  name: 'cut',
  about: 'the active worker is cut off: connections are closed and refused',
  weight: 2,
  async play(stage, random) {
    const { active } = await stage.roles(random);
    stage.cut(active, 'shut');
    await pause(random.chance(0.5) ? random.between(100, 3_000) : random.between(5_500, 9_000));
    stage.cut(active, 'open');
  },
};

const stall: Case = {
  name: 'stall',
  about:
    'nothing passes between the active worker and the broker; then all of it does, or the connection is lost with it',
  weight: 2,
  async play(stage, random) {
    const { active } = await stage.roles(random);
    stage.cut(active, 'stalled');
    await pause(random.chance(0.5) ? random.between(500, 4_000) : random.between(5_500, 10_000));
    if (random.chance(0.5)) stage.cut(active, 'shut');
    stage.cut(active, 'open');
  },
};

const deaf: Case = {
  name: 'deaf',
  about: 'every answer of the broker to the active worker is lost while what it writes lands, then the connection ends',
  weight: 3,
  async play(stage, random) {
    const { active } = await stage.roles(random);
    for (let times = 1 + random.int(3); times > 0; times--) {
      stage.cut(active, 'deaf');
      await pause(random.between(20, 2_500));
      stage.cut(active, 'open');
      await pause(random.between(200, 1_500));
    }
  },
};

export default [cut, stall, deaf];
