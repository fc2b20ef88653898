/**
 * Brokers without room: limits of accounts, of the server, and disks that are really full. A pipeline waits and says for
 * what, in its status and in the log; when there is room it goes on by itself, with nothing lost and nothing doubled.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import { AUDIT_STREAM, AUDIT_SUBJECTS } from '../../lib/record/names.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene, statusOf } from './scene.ts';

/** Without a key there are no channels, which would reserve more room than these brokers have. */
const PIPELINE = (name: string) => `import { pipeline } from 'millrace';
export default pipeline('${name}', ({ from }) => {
  from<{ id: string }>('${name}.in').to('${name}.out.{partition}');
});
`;

/** A pipeline in a scene of its own kind: rows go in by number, and each must come out once. */
class Line {
  readonly scene: Scene;
  readonly client: AdminClient;
  readonly worker: WorkerProcess;
  readonly name: string;
  sent = 0;

  constructor(scene: Scene, options: { client: AdminClient; worker: WorkerProcess; name: string }) {
    this.scene = scene;
    this.client = options.client;
    this.worker = options.worker;
    this.name = options.name;
  }

  static async open(scene: Scene, options: { env?: NodeJS.ProcessEnv; name: string }): Promise<Line> {
    const worker = scene.worker('worker', [], options.env);
    await worker.start();
    const client = scene.client(worker);
    await scene.log.ensureStream({ name: options.name, subjects: [`${options.name}.in`] });
    return new Line(scene, { client, worker, name: options.name });
  }

  deploy(): Promise<string> {
    return this.scene.deploy(this.client, { text: PIPELINE(this.name) });
  }

  /** One row in a message of so many bytes. */
  async send(rows: number, bytes = 0): Promise<void> {
    const pad = 'x'.repeat(bytes);
    const ids = Array.from({ length: rows }, () => this.sent++);
    const subject = `${this.name}.in`;
    await this.scene.log.appendAll(
      ids.map(id => ({ subject, data: Buffer.from(JSON.stringify({ id: `${id}`, pad })) })),
    );
  }

  async waits(reason: RegExp): Promise<void> {
    const { status } = await statusOf(this.client, this.name, info => reason.test(info.status.reason ?? ''));
    assert.ok(status.state === 'waiting' || status.state === 'starting', status.state);
  }

  async judge(): Promise<void> {
    await running(this.client, this.name);
    const output = this.scene.output(`${this.name}_out`, `${this.name}.out.*`);
    await eventually(
      'all rows are there',
      async () => (await output.rows()).length >= this.sent,
      async () => `${(await output.rows()).length} of ${this.sent}: ${this.worker.said()}`,
    );
    const ids = (await output.rows()).map(row => Number((JSON.parse(row) as { id: string }).id));
    assert.deepEqual(
      ids.sort((a, b) => a - b),
      Array.from({ length: this.sent }, (_, id) => id),
    );
  }
}

describe('an account', () => {
  const open = async (limits: string, name: string): Promise<Line> => {
    const blocks = [`accounts { A: { jetstream: { ${limits} }, users: [ { user: me, password: secret } ] } }`];
    const scene = await Scene.open({ blocks }, { login: { user: 'me', pass: 'secret' } });
    scenes.push(scene);
    return Line.open(scene, { name, env: { NATS_USER: 'me', NATS_PASSWORD: 'secret' } });
  };
  const scenes: Scene[] = [];
  after(() => Promise.all(scenes.map(scene => scene.close())));

  test('that may have no more streams is waited for, and the pipeline starts when one is deleted', async () => {
    const line = await open('max_streams: 7', 'streams');
    // Made with the first change that is asked for, it would take the place that is to be free.
    await line.scene.log.ensureStream({ name: AUDIT_STREAM, subjects: [AUDIT_SUBJECTS] });
    await line.scene.log.ensureStream({ name: 'heap', subjects: ['heap'] });
    await line.deploy();
    await line.waits(/maximum number of streams reached.*; raise the account's max_streams, or delete streams/);
    await line.scene.log.deleteStream('heap');
    await line.send(50);
    await line.judge();
  });

  test('that may have no more consumers is waited for, and the pipeline reads when one is deleted', async () => {
    const line = await open('max_consumers: 8', 'consumers');
    await line.deploy();
    await running(line.client, 'consumers');
    const manager = await line.scene.connection.jetstreamManager();
    await line.worker.kill();
    const held: string[] = [];
    for (let i = 0; i < 8; i++) {
      await manager.consumers.add('consumers', { durable_name: `held${i}` }).then(
        ({ name }) => held.push(name),
        () => undefined,
      );
    }
    await line.worker.start();
    await line.send(50);
    await eventually('it says that it waits', () => /maximum consumers limit reached/.test(line.worker.log));
    for (const name of held) await manager.consumers.delete('consumers', name);
    await line.judge();
  });

  test('that has no storage left is waited for, and the pipeline goes on when there is room', async () => {
    const line = await open(`max_file: ${6 << 20}`, 'storage');
    await line.deploy();
    await running(line.client, 'storage');
    await line.scene.log.ensureStream({ name: 'heap', subjects: ['heap'] });
    const ballast = Buffer.alloc(256 << 10);
    const fill = async () => {
      const outcome = await line.scene.log.append({ subject: 'heap', data: ballast });
      return outcome.kind !== 'landed';
    };
    process.kill(line.worker.pid, 'SIGSTOP');
    await line.send(20, 10_000);
    await eventually('the account is full', fill);
    const small = await line.scene.connection.jetstreamManager();
    await eventually('the last bytes are taken', async () => {
      const outcome = await line.scene.log.append({ subject: 'heap', data: Buffer.alloc(512) });
      return outcome.kind !== 'landed';
    });
    process.kill(line.worker.pid, 'SIGCONT');
    await line.waits(/the broker has taken nothing to _mr\.storage\..* for \d+ s: .*; it goes on by itself/);
    await eventually('it is in the log', () => /broker\.stalled/.test(line.worker.log));
    await small.streams.purge('heap');
    await line.send(20, 10_000);
    await line.judge();
    await eventually('the end of it, too', () => /broker\.recovered/.test(line.worker.log));
  });
});

const disk = join(tmpdir(), `millrace-disk-${process.pid}`);
const mount = (folder: string, bytes: number) =>
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], { stdio: 'ignore' });

/** Only root may mount a small disk; for anybody else there is no disk that can be filled without harm. */
function canMount(): boolean {
  try {
    execFileSync('sh', ['-c', `mkdir -p ${disk} && mount -t tmpfs -o size=1m tmpfs ${disk} && umount ${disk}`], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}

if (canMount()) {
  describe('a disk', () => {
    before(() => mkdir(disk, { recursive: true }));
    after(async () => {
      await rm(disk, { recursive: true, force: true });
    });

    test('of the broker that is full is waited for; with room again, and the broker started anew, nothing is lost', async () => {
      mount(disk, 24 << 20);
      const scene = await Scene.open({}, { dataDir: join(disk, 'nats') });
      scene.closing.add(() => scene.server.stop());
      try {
        const line = await Line.open(scene, { name: 'full' });
        await line.deploy();
        await line.send(20);
        await line.judge();
        process.kill(line.worker.pid, 'SIGSTOP');
        await line.send(200, 8_000);
        await writeFile(join(disk, 'ballast'), Buffer.alloc(32 << 20)).catch(() => 'as full as it gets');
        process.kill(line.worker.pid, 'SIGCONT');
        await line.waits(/the broker has taken nothing to/);
        await rm(join(disk, 'ballast'));
        await scene.server.kill();
        await scene.server.restart();
        await line.judge();
      } finally {
        await scene.close();
        execFileSync('umount', ['-l', disk]);
      }
    });
  });
}
