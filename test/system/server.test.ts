/** The embedded server: it comes up, keeps its data, and never outlives whoever started it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect } from 'nats';
import { sleep, systemClock } from '../../lib/base/clock.ts';
import { isMillraceError } from '../../lib/base/errors.ts';
import { startServer } from '../../lib/nats/server.ts';

/** A process counts as gone when it no longer runs; a zombie that nobody has collected yet is gone. */
async function runs(pid: number): Promise<boolean> {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z');
  return !/\) [ZX]/.test(stat);
}

async function until(holds: () => Promise<boolean> | boolean, what: string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await holds()) return;
    await sleep(systemClock, 25);
  }
  assert.fail(`never: ${what}`);
}

describe('the embedded server', () => {
  test('is ready for JetStream when start resolves, and gone with its folder when stop does', async () => {
    const server = await startServer();
    const connection = await connect({ servers: server.url });
    assert.equal(connection.info?.max_payload, 8 << 20);
    const manager = await connection.jetstreamManager();
    await manager.streams.add({ name: 'S', subjects: ['s.>'] });
    await connection.close();
    assert.match(server.version, /^2\.\d+\./);
    assert.ok(existsSync(server.dataDir));
    await server.stop();
    assert.equal(await runs(server.pid), false);
    assert.equal(existsSync(server.dataDir), false);
    await server.stop();
  });

  test('keeps port and data across kill and restart', async () => {
    const server = await startServer({ config: { maxPayloadBytes: 1 << 20, syncAlways: true } });
    const first = server.pid;
    const connection = await connect({ servers: server.url, reconnectTimeWait: 50, maxReconnectAttempts: -1 });
    assert.equal(connection.info?.max_payload, 1 << 20);
    const manager = await connection.jetstreamManager({ timeout: 500 });
    await manager.streams.add({ name: 'S', subjects: ['s.>'] });
    await connection.jetstream().publish('s.1', 'kept');
    const url = server.url;
    let deaths = 0;
    server.onDeath = () => deaths++;
    await server.kill();
    await server.restart();
    assert.equal(server.url, url);
    assert.notEqual(server.pid, first);
    await until(async () => (await manager.streams.info('S').catch(() => null))?.state.messages === 1, 'message kept');
    await server.restart();
    assert.equal(deaths, 0, 'an end that was asked for is no death');
    await until(async () => (await manager.streams.info('S').catch(() => null))?.state.messages === 1, 'message kept');
    await connection.close();
    await server.stop();
  });

  test('tells when the process dies unasked', async () => {
    const server = await startServer();
    let death = '';
    server.onDeath = reason => {
      death = reason;
    };
    process.kill(server.pid, 'SIGKILL');
    await until(() => /SIGKILL/.test(death), 'the death was told');
    await server.stop();
  });

  test('keeps a data folder that the caller named', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
    const server = await startServer({ dataDir });
    await server.stop();
    assert.ok(existsSync(dataDir));
    await rm(dataDir, { recursive: true });
  });

  test('stops a frozen process too', async () => {
    const server = await startServer();
    process.kill(server.pid, 'SIGSTOP');
    await server.stop();
    assert.equal(await runs(server.pid), false);
  });

  test('says why it cannot start: no such program, port taken', async () => {
    await assert.rejects(startServer({ binary: '/nowhere/nats-server' }), error => {
      assert.ok(isMillraceError(error, 'SERVER_NOT_FOUND'));
      assert.match(error.message, /\/nowhere\/nats-server/);
      return true;
    });
    const server = await startServer();
    await assert.rejects(startServer({ port: server.port }), error => {
      assert.ok(isMillraceError(error, 'BROKER_UNAVAILABLE'));
      assert.match(error.message, /address already in use/);
      return true;
    });
    await server.stop();
  });

  test('dies with a parent that is killed, and leaves no folder', async () => {
    const module = fileURLToPath(new URL('../../lib/nats/server.ts', import.meta.url));
    const script = `
      const { startServer } = await import(${JSON.stringify(module)});
      const server = await startServer();
      console.log(JSON.stringify({ pid: server.pid, dataDir: server.dataDir }));
      setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise<string>(resolve => parent.stdout.once('data', data => resolve(String(data))));
    const { pid, dataDir }: { pid: number; dataDir: string } = JSON.parse(line);
    assert.equal(await runs(pid), true);
    parent.kill('SIGKILL');
    await until(async () => !(await runs(pid)), 'the server ended');
    await until(() => !existsSync(dataDir), 'the folder went');
  });

  test('does not keep its parent alive', async () => {
    const module = fileURLToPath(new URL('../../lib/nats/server.ts', import.meta.url));
    const script = `
      const { startServer } = await import(${JSON.stringify(module)});
      console.log((await startServer()).pid);`;
    const parent = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = new Promise<string>(resolve => parent.stdout.once('data', data => resolve(String(data))));
    const code = await new Promise(resolve => parent.once('exit', resolve));
    assert.equal(code, 0);
    await line.then(text => until(async () => !(await runs(Number(text))), 'the server ended'));
  });
});
