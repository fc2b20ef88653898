/** Workers that end without a word. */
import { pause } from '../../bench/scene.ts';
import type { Case } from '../cases.ts';

const kill: Case = {
  name: 'kill',
  about: 'SIGKILL of the active worker; it is started again after a while, or before anybody takes over',
  weight: 3,
  async play(stage, random) {
    const { active } = await stage.roles(random);
    await stage.kill(active);
    await pause(random.chance(0.5) ? random.between(0, 500) : random.between(2_000, 9_000));
    await stage.start(active);
  },
};

const killOther: Case = {
  name: 'kill-other',
  about: 'SIGKILL of a worker that does not lead; it is started again after a while',
  weight: 2,
  async play(stage, random) {
    const { other } = await stage.roles(random);
    await stage.kill(other);
    await pause(random.chance(0.5) ? random.between(0, 500) : random.between(2_000, 9_000));
    await stage.start(other);
  },
};

const killBoth: Case = {
  name: 'kill-both',
  about: 'SIGKILL of all workers',
  weight: 1,
  async play(stage, random) {
    await Promise.all(stage.posts.map(post => stage.kill(post)));
    await pause(random.between(0, 2_000));
    await Promise.all(stage.posts.map(post => stage.start(post)));
  },
};

const killEarly: Case = {
  name: 'kill-early',
  about: 'SIGKILL of a worker again and again before it is up, while the other waits or takes over',
  weight: 1,
  async play(stage, random) {
    const { active } = await stage.roles(random);
    for (let kills = 2 + random.int(3); kills > 0; kills--) {
      await stage.kill(active);
      const starting = stage.start(active);
      await pause(random.between(300, 2_500));
      active.kept = false;
      await active.worker.kill();
      await starting;
    }
    await stage.start(active);
  },
};

const outage: Case = {
  name: 'outage',
  about: 'no worker for half a minute while the services publish, then both',
  async play(stage) {
    await Promise.all(stage.posts.map(post => stage.kill(post)));
    await pause(30_000);
    await Promise.all(stage.posts.map(post => stage.start(post)));
  },
};

export default [kill, killOther, killBoth, killEarly, outage];
