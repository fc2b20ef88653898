/**
 * The broker comes back with an older copy of one stream, as after a restore from a backup or with a disk that was not
 * synced. What was there since is gone, so that the pipeline cannot always go on; it must never go on with what is left.
 */
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '../../../lib/base/random.ts';
import { pause } from '../../bench/scene.ts';
import { OUTPUTS } from '../answer.ts';
import type { Case } from '../cases.ts';

type Player = Parameters<Case['play']>[0];

const journal: Case = {
  name: 'old-journal',
  about: 'the broker is killed and comes back with a copy of the journals that is some seconds old',
  weight: 0.3,
  isAlone: true,
  mayStand: ['CHAIN_BROKEN'],
  play: (stage, random) => putBack(stage, random, name => /^MR_story_.*_journal$/.test(name)),
};

const channels: Case = {
  name: 'old-channels',
  about: 'the same, with the channels into a stage',
  weight: 0.3,
  isAlone: true,
  mayStand: ['CHAIN_BROKEN', 'STREAM_CHANGED'],
  play: (stage, random) => putBack(stage, random, name => /^MR_story_.*_x_/.test(name)),
};

const results: Case = {
  name: 'old-results',
  about: 'the same, with a stream of results',
  weight: 0.3,
  isAlone: true,
  mayStand: ['CHAIN_BROKEN'],
  play: (stage, random) => putBack(stage, random, name => OUTPUTS.some(output => output === name)),
};

/** One of the streams that fit. Sometimes the workers are killed with the broker, so that all they know is what is stored. */
async function putBack(stage: Player, random: Random, fits: (name: string) => boolean): Promise<void> {
  const names: string[] = [];
  const manager = await stage.connection.jetstreamManager();
  for await (const name of manager.streams.names()) if (fits(name)) names.push(name);
  const name = random.pick(names.sort());
  const folder = join(stage.broker.dataDir, 'jetstream', '$G', 'streams', name);
  const copy = join(stage.folder, 'copy');
  // What a kill at this moment would leave.
  process.kill(stage.broker.pid, 'SIGSTOP');
  await cp(folder, copy, { recursive: true });
  process.kill(stage.broker.pid, 'SIGCONT');
  stage.note(`copied ${name}`);
  await pause(random.between(1_000, 5_000));
  const killed = random.chance(0.5) ? stage.posts : [];
  await Promise.all(killed.map(post => stage.kill(post)));
  stage.note(`kill the broker, and put ${name} back`);
  await stage.broker.kill();
  await rm(folder, { recursive: true });
  await cp(copy, folder, { recursive: true });
  await rm(copy, { recursive: true });
  await pause(random.between(0, 1_000));
  await stage.broker.restart();
  await stage.heard();
  await Promise.all(killed.map(post => stage.start(post)));
}

export default [journal, channels, results];
