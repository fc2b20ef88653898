/** Who is there, among real processes on a real broker: killed, frozen, followed by another of the same name. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../lib/base/clock.ts';
import { type Change, Members } from '../../lib/cluster/members.ts';
import { readSays } from '../../lib/cluster/says.ts';
import { connectNats, type NatsLink } from '../../lib/nats/connection.ts';
import { NatsPeers } from '../../lib/nats/peers.ts';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import { until } from '../contract/registry.ts';
import { says } from '../unit/cluster/town.ts';

const PEER = fileURLToPath(new URL('../rig/peer-process.ts', import.meta.url));

let server: NatsServer;
let link: NatsLink;
let peers: NatsPeers;
let members: Members;
let told: (Change & { readonly atMs: number })[] = [];
const children: ChildProcess[] = [];

before(async () => {
  server = await startServer();
  link = await connectNats({ servers: server.url });
  peers = new NatsPeers(link, { cluster: 'c', member: 'looker' });
  members = new Members({ clock: systemClock, peers, says: () => says('looker') });
  members.onChange(change => told.push({ ...change, atMs: performance.now() }));
  members.start();
  await until(() => !members.isolated, 'it hears itself');
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  members.stop();
  await link.close();
  await server.stop();
});

async function join(name: string): Promise<ChildProcess> {
  told = [];
  const child = spawn(process.execPath, ['--import', 'tsx', PEER, server.url, name], { stdio: 'inherit' });
  children.push(child);
  await until(() => of(name).some(({ kind }) => kind !== 'gone'), `${name} is there`);
  return child;
}

const of = (name: string) => told.filter(change => 'name' in change && change.name === name);

test('a process that is killed is gone at once, and its name is taken by the next', async t => {
  const took: number[] = [];
  for (let round = 0; round < 4; round++) {
    const child = await join('killed');
    told = [];
    const killedAt = performance.now();
    child.kill('SIGKILL');
    const isGone = ({ kind }: { kind: string }) => kind === 'gone';
    await until(() => of('killed').some(isGone), 'something is told of it');
    took.push(of('killed').find(isGone)!.atMs - killedAt);
    assert.ok(took.at(-1)! < 2_000);
    assert.deepEqual(
      members.alive().map(({ name }) => name),
      ['looker'],
    );
  }
  t.diagnostic(`gone after ${took.map(ms => Math.round(ms)).join(', ')} ms`);
});

test('one that is frozen is suspect, then gone, and back when it wakes', async t => {
  const child = await join('frozen');
  told = [];
  const frozenAt = performance.now();
  child.kill('SIGSTOP');
  await until(() => of('frozen').length === 2, 'it is gone');
  assert.deepEqual(
    of('frozen').map(({ kind }) => kind),
    ['suspect', 'gone'],
  );
  t.diagnostic(
    `suspect and gone after ${of('frozen')
      .map(({ atMs }) => Math.round(atMs - frozenAt))
      .join(', ')} ms`,
  );
  child.kill('SIGCONT');
  await until(() => of('frozen').length === 3, 'it is back');
  assert.equal(of('frozen')[2]!.kind, 'back');
});

test('while the broker restarts everybody waits for everybody', async () => {
  await join('patient');
  told = [];
  for (let round = 0; round < 3; round++) {
    await server.kill();
    await server.restart();
    const heard = new Set<string>();
    const end = peers.onBeat(payload => heard.add(readSays(payload)!.name));
    await until(() => heard.has('patient') && heard.has('looker'), 'both are back');
    end();
  }
  assert.deepEqual(
    told.filter(({ kind }) => kind === 'gone'),
    [],
  );
  assert.equal(members.verdictOf('patient'), 'alive');
});
