/**
 * A worker that is not let in, or finds something else than the NATS that it needs: it ends with one line that says what to
 * change, or waits and says for what. The first where only a person can mend it, the second where it may pass.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import { beginCommand, type Command } from '../rig/command.ts';
import { freePort } from '../rig/worker-process.ts';
import { eventually } from './scene.ts';

const closing: (() => unknown)[] = [];
let folder: string;
let guarded: NatsServer;
let trusted: NatsServer;
let strict: NatsServer;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-access-'));
  closing.push(() => rm(folder, { recursive: true, force: true }));
  makeCertificates();
  const tls = (verify: boolean) =>
    `tls { cert_file: "${folder}/server.pem", key_file: "${folder}/server.key", ca_file: "${folder}/ca.pem", verify: ${verify} }`;
  const users = [
    '{ user: worker, password: right }',
    '{ user: deaf, password: right, permissions: { subscribe: { deny: ["_INBOX.>"] } } }',
    '{ user: mute, password: right, permissions: { publish: { deny: ["$JS.API.STREAM.CREATE.>"] } } }',
  ];
  [guarded, trusted, strict] = await Promise.all([
    startServer({ config: { blocks: [`authorization { users = [ ${users.join(', ')} ] }`] } }),
    startServer({ config: { blocks: [tls(false)] } }),
    startServer({ config: { blocks: [tls(true)] } }),
  ]);
  for (const server of [guarded, trusted, strict]) closing.push(() => server.stop());
});
after(async () => {
  for (const step of closing.reverse()) await step();
});

/** Two authorities, and a certificate of the server by the first. */
function makeCertificates(): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const key = ['-newkey', 'rsa:2048', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=authority');
  openssl('req', '-x509', ...key, '-keyout', 'other.key', '-out', 'other.pem', '-subj', '/CN=another');
  const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  openssl('req', '-x509', ...key, ...signed, '-keyout', 'server.key', '-out', 'server.pem', '-subj', '/CN=server');
}

let workers = 0;
function begin(url: string, env: NodeJS.ProcessEnv = {}): Command {
  const data = join(folder, `worker-${workers++}`);
  const worker = beginCommand(['worker', '--nats', url, '--data', data, '--listen', '127.0.0.1:0'], {
    env: { MILLRACE_LOG_FORMAT: 'json', MILLRACE_METRICS: 'off', ...env },
  });
  closing.push(() => worker.child.kill('SIGKILL'));
  return worker;
}

describe('a worker ends with the reason and what to change', { concurrency: 2 }, () => {
  const cases: [string, () => string, NodeJS.ProcessEnv, RegExp][] = [
    [
      'when its password is wrong',
      () => guarded.url,
      { NATS_USER: 'worker', NATS_PASSWORD: 'wrong' },
      /does not let us in: Authorization Violation, as user worker with the password \(NATS_USER, NATS_PASSWORD\)/,
    ],
    [
      'when it needs a login and has none',
      () => guarded.url,
      {},
      /it wants a login, and none is given \(NATS_USER and NATS_PASSWORD, NATS_TOKEN, NATS_NKEY or NATS_CREDS\)/,
    ],
    [
      'when it may not hear answers',
      () => guarded.url,
      { NATS_USER: 'deaf', NATS_PASSWORD: 'right' },
      /does not permit us to subscribe to _INBOX\.>; grant this user: subscribe to _INBOX\.>/,
    ],
    [
      'when it may not make streams',
      () => guarded.url,
      { NATS_USER: 'mute', NATS_PASSWORD: 'right' },
      /does not permit us to publish to \$JS\.API\.STREAM\.CREATE\.KV_millrace; grant this user: publish to \$JS\.API\.>/,
    ],
    [
      'when its credentials file is not there',
      () => guarded.url,
      { NATS_CREDS: '/nowhere/my.creds' },
      /the credentials file \(NATS_CREDS\) \/nowhere\/my\.creds cannot be read: ENOENT/,
    ],
    ['when its nkey is none', () => guarded.url, { NATS_NKEY: 'SUNONE' }, /the nkey seed \(NATS_NKEY\) cannot be used/],
    [
      'when it does not know who has signed the certificate of the server',
      () => trusted.url,
      {},
      /its certificate is not trusted \(.*\): give the CA that has signed it \(NATS_CA\)/,
    ],
    [
      'when it trusts another authority',
      () => trusted.url,
      { NATS_CA: 'other.pem' },
      /its certificate is not trusted \(.*\): give the CA/,
    ],
    [
      'when the server demands a certificate of it',
      () => strict.url,
      { NATS_CA: 'ca.pem' },
      /it demands a certificate of its clients: give one, and its key \(NATS_CERT, NATS_KEY\)/,
    ],
    [
      'when it has certificates and the server no TLS',
      () => guarded.url,
      { NATS_USER: 'worker', NATS_PASSWORD: 'right', NATS_CA: 'ca.pem' },
      /it offers no TLS, and certificates are set here: unset NATS_CA, NATS_CERT and NATS_KEY/,
    ],
  ];
  for (const [what, url, env, reason] of cases) {
    test(what, async () => {
      const ca = env.NATS_CA === undefined ? {} : { NATS_CA: join(folder, env.NATS_CA) };
      const worker = begin(url(), { ...env, ...ca });
      const code = await worker.ended;
      assert.match(worker.said.text, reason);
      assert.match(worker.said.text, /^error: [^\n]+$/m);
      assert.doesNotMatch(worker.said.text, /^\s+at |worker\.crashed/m);
      assert.ok(code !== 0 && code !== null, `exit code ${code}`);
    });
  }

  test('when the server is too old', async () => {
    const info = {
      server_id: 'OLD',
      version: '2.9.10',
      proto: 1,
      headers: true,
      max_payload: 1 << 20,
      jetstream: true,
    };
    const url = await listen(socket => {
      socket.write(`INFO ${JSON.stringify(info)}\r\n`);
      socket.on('data', data => void (data.toString().includes('PING') && socket.write('PONG\r\n')));
    });
    const worker = begin(url);
    assert.equal(await worker.ended, 6);
    assert.match(worker.said.text, /is of version 2\.9\.10, and Millrace needs 2\.12 or later: update the server\n$/);
  });

  test('when it shall keep replicas and the server has no cluster', async () => {
    const env = { NATS_USER: 'worker', NATS_PASSWORD: 'right', MILLRACE_REPLICAS: '3' };
    const worker = begin(guarded.url, env);
    assert.equal(await worker.ended, 6);
    assert.match(
      worker.said.text,
      /\(10074\); a server without a cluster keeps one replica.*set MILLRACE_REPLICAS to 1/,
    );
  });

  test('when the address of its API is taken', async () => {
    const url = await listen(() => {});
    const taken = url.replace('nats://', '');
    const data = join(folder, 'taken');
    const env = { NATS_USER: 'worker', NATS_PASSWORD: 'right', MILLRACE_METRICS: 'off' };
    const worker = beginCommand(['worker', '--nats', guarded.url, '--data', data, '--listen', taken], { env });
    assert.equal(await worker.ended, 2);
    assert.match(worker.said.text, /cannot listen on 127\.0\.0\.1:\d+: .*; give another address with --listen/);
  });
});

describe('a worker waits, says for what, and goes on by itself', { concurrency: 2 }, () => {
  test('while what listens there is no NATS server', async () => {
    const worker = begin(await listen(socket => socket.end('220 mail ESMTP\r\n')));
    await says(worker, /what listens at \S+ is no NATS server, it says \\"220 mail ESMTP\\"; check the address/);
    worker.child.kill('SIGTERM');
    assert.equal(await worker.ended, 0);
  });

  test('while no server is there, and ends when told to', async () => {
    const worker = begin(`nats://127.0.0.1:${await freePort()}`);
    await says(
      worker,
      /"event":"nats.unreachable".*cannot connect to NATS at .*check the address, and that the server runs/,
    );
    worker.child.kill('SIGTERM');
    assert.equal(await worker.ended, 0);
  });

  test('while JetStream is off, and runs when it is on', async () => {
    const port = await freePort();
    const bare = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
    closing.push(() => bare.kill('SIGKILL'));
    const worker = begin(`nats://127.0.0.1:${port}`);
    await says(worker, /JetStream does not answer at .*: start nats-server with -js/);
    const gone = new Promise(resolve => bare.once('exit', resolve));
    bare.kill('SIGKILL');
    await gone;
    const server = await startServer({ port });
    closing.push(() => server.stop());
    await says(worker, /"event":"api.listening"/);
    worker.child.kill('SIGTERM');
    assert.equal(await worker.ended, 0);
  });

  test('while its login is refused after it has been in, and is connected when it is accepted again', async () => {
    const users = (password: string) => `authorization { users = [ { user: worker, password: ${password} } ] }`;
    const dataDir = join(folder, 'expiring');
    const before = await startServer({ dataDir, config: { blocks: [users('right')] } });
    const worker = begin(before.url, { NATS_USER: 'worker', NATS_PASSWORD: 'right' });
    await says(worker, /"event":"api.listening"/);
    await before.stop();
    const refusing = await startServer({ dataDir, port: before.port, config: { blocks: [users('renewed')] } });
    await says(worker, /"event":"nats.refused".*refuses our login \(AUTHORIZATION_VIOLATION\)/);
    assert.equal(worker.child.exitCode, null, 'it waits');
    await refusing.stop();
    const server = await startServer({ dataDir, port: before.port, config: { blocks: [users('right')] } });
    closing.push(() => server.stop());
    await says(worker, /"event":"nats.connected"/);
    worker.child.kill('SIGTERM');
    assert.equal(await worker.ended, 0);
  });
});

function says(worker: Command, pattern: RegExp): Promise<void> {
  const ended = () => {
    if (worker.child.exitCode !== null) throw new Error(`the worker has ended: ${worker.said.text}`);
  };
  return eventually(
    `it says ${pattern}`,
    () => {
      const is = pattern.test(worker.said.text);
      if (!is) ended();
      return is;
    },
    () => worker.said.text,
  );
}

/** A server that does with its clients what it is told. Returns its address, as if it were NATS. */
function listen(serve: (socket: Socket) => void): Promise<string> {
  return new Promise(resolve => {
    const server = createServer(socket => {
      socket.on('error', () => socket.destroy());
      serve(socket);
    });
    closing.push(() => server.close());
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(`nats://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`);
    });
  });
}
