/** What people do: deploy, pause, restart, stop. */
import { pause } from '../../bench/scene.ts';
import type { Case } from '../cases.ts';

const deploy: Case = {
  name: 'deploy',
  about: 'the pipeline is deployed with other code, sometimes twice in a row',
  weight: 2,
  async play(stage, random) {
    for (let times = 1 + random.int(2); times > 0; times--) {
      stage.note('deploy');
      await stage.deploy();
      await pause(random.between(0, 1_500));
    }
  },
};

const deploys: Case = {
  name: 'deploys',
  about: 'six deploys of other code, one as soon as the other is accepted and a few seconds apart by turns',
  async play(stage, random) {
    for (let turn = 0; turn < 6; turn++) {
      stage.note('deploy');
      await stage.deploy();
      if (turn % 2 === 1) await pause(random.between(2_000, 4_000));
    }
  },
};

const rest: Case = {
  name: 'pause',
  about: 'the pipeline is paused and resumed',
  weight: 1,
  async play(stage, random) {
    stage.note('pause');
    await stage.ask(client => client.pause('story'));
    await pause(random.between(0, 2_500));
    stage.note('resume');
    await stage.ask(client => client.resume('story'));
  },
};

const restart: Case = {
  name: 'restart',
  about: 'the pipeline is restarted',
  weight: 1,
  async play(stage) {
    stage.note('restart');
    await stage.ask(client => client.restart('story'));
  },
};

const stop: Case = {
  name: 'stop',
  about: 'SIGTERM of the active worker while the other waits; it is started again',
  weight: 3,
  async play(stage, random) {
    const { active } = await stage.roles(random);
    await stage.terminate(active);
    await pause(random.between(0, 2_000));
    await stage.start(active);
  },
};

export default [deploy, deploys, rest, restart, stop];
