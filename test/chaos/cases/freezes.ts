/** Processes that stand still and go on as if nothing had been. */
import { pause } from '../../bench/scene.ts';
import type { Case } from '../cases.ts';

const freeze: Case = {
  name: 'freeze',
  about: 'SIGSTOP of the active worker for longer than the lease, then SIGCONT',
  weight: 2,
  async play(stage, random) {
    const { active } = await stage.roles(random);
    stage.freeze(active);
    await pause(random.between(5_500, 9_000));
    stage.thaw(active);
  },
};

const freezeOther: Case = {
  name: 'freeze-other',
  about: 'SIGSTOP of a worker that does not lead for longer than others wait for it, then SIGCONT',
  weight: 1,
  async play(stage, random) {
    const { other } = await stage.roles(random);
    stage.freeze(other);
    await pause(random.between(3_500, 7_000));
    stage.thaw(other);
  },
};

const doze: Case = {
  name: 'doze',
  about: 'SIGSTOP of all workers for a moment, several times',
  weight: 1,
  async play(stage, random) {
    for (let times = 1 + random.int(4); times > 0; times--) {
      for (const post of stage.posts) stage.freeze(post);
      await pause(random.between(100, 1_500));
      for (const post of stage.posts) stage.thaw(post);
      await pause(random.between(50, 500));
    }
  },
};

export default [freeze, freezeOther, doze];
