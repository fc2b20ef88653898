/** Services that say nothing for a while, which is no fault at all; and what happens then. */
import { pause } from '../../bench/scene.ts';
import type { Case } from '../cases.ts';

const quietPayments: Case = {
  name: 'quiet-payments',
  about: 'payments are quiet for longer than sources count as jitter, while orders go on',
  weight: 1,
  async play(stage, random) {
    await quiet(stage, 'payments', random.between(11_000, 14_000));
  },
};

const quietBoth: Case = {
  name: 'quiet',
  about: 'both services are quiet for a while',
  weight: 1,
  async play(stage, random) {
    const lengthMs = random.between(3_000, 12_000);
    await Promise.all([quiet(stage, 'orders', lengthMs), quiet(stage, 'payments', lengthMs)]);
  },
};

const quietThenCut: Case = {
  name: 'quiet-then-cut',
  about: 'both are quiet for 14 s; then the workers are cut off for 30 s while the services publish',
  async play(stage) {
    await Promise.all([quiet(stage, 'orders', 14_000), quiet(stage, 'payments', 14_000)]);
    for (const post of stage.posts) stage.cut(post, 'shut');
    await pause(30_000);
    for (const post of stage.posts) stage.cut(post, 'open');
  },
};

const quietAndFrozen: Case = {
  name: 'quiet-and-frozen',
  about: 'payments are quiet, and both workers are frozen for 15 s; payments speak again while they are',
  async play(stage) {
    stage.load.quiet('payments', true);
    await pause(6_000);
    for (const post of stage.posts) stage.freeze(post);
    await pause(5_000);
    stage.load.quiet('payments', false);
    await pause(10_000);
    for (const post of stage.posts) stage.thaw(post);
  },
};

const clockAhead: Case = {
  name: 'clock-ahead',
  about: 'a payment for no order comes from a clock that is 55 minutes ahead',
  weight: 1,
  async play(stage) {
    stage.note('a payment is 55 minutes ahead');
    await stage.load.tell('payments', { order: 'nowhere', no: -1, at: Date.now() + 55 * 60_000 });
  },
};

type Player = Parameters<Case['play']>[0];

async function quiet(stage: Player, service: 'orders' | 'payments', lengthMs: number): Promise<void> {
  stage.note(`${service} are quiet for ${Math.round(lengthMs)} ms`);
  stage.load.quiet(service, true);
  await pause(lengthMs);
  stage.load.quiet(service, false);
}

export default [quietPayments, quietBoth, quietThenCut, quietAndFrozen, clockAhead];
