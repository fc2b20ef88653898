/**
 * TLS, client certificates and tokens, over real sockets and with certificates made here.
 */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type ErrorCode, isMillraceError } from '../../../lib/base/errors.ts';
import { AdminServer } from '../../../lib/control/server.ts';
import { Certificates } from '../../rig/certificates.ts';
import { ReflectionClient } from '../../rig/reflection.ts';
import { fakeBundle, until } from '../host/fakes.ts';
import { likelyFreeAddress, Serving } from './serving.ts';

const TOKEN = 'a-token-that-is-long-enough';

let made: Certificates;
let ca: { certFile: string; keyFile: string };
let cert: { certFile: string; keyFile: string };
let serving: Serving;
before(() => {
  made = new Certificates();
  ca = made.authority('authority');
  cert = made.signed('server', ca);
});
after(() => made.remove());
beforeEach(() => {
  serving = new Serving();
});
afterEach(() => serving.stop());

function refused(code: ErrorCode, text: RegExp) {
  return (error: unknown) => isMillraceError(error, code) && text.test(error.message);
}

describe('TLS', () => {
  test('a client that knows the authority is answered, one that does not is told why not', async () => {
    const { client, address } = await serving.worker('a', {
      access: { tls: cert },
      client: { tls: { caFile: ca.certFile } },
    });
    assert.equal((await client.info()).worker, 'a');
    const stranger = serving.client(address, { tls: {}, timeoutMs: 3_000 });
    await assert.rejects(stranger.info(), refused('WORKER_UNAVAILABLE', /a matter of TLS: .*certificate/));
    const plain = serving.client(address, { timeoutMs: 3_000 });
    await assert.rejects(plain.info(), refused('WORKER_UNAVAILABLE', /no worker answers|did not answer/));
  });

  test('a certificate for another name is refused, unless that name is expected', async () => {
    const other = made.signed('other', ca, { names: 'DNS:millrace.example' });
    const { client, address } = await serving.worker('a', {
      access: { tls: other },
      client: { tls: { caFile: ca.certFile } },
    });
    await assert.rejects(client.info(), refused('WORKER_UNAVAILABLE', /altnames/));
    const expecting = serving.client(address, { tls: { caFile: ca.certFile, serverName: 'millrace.example' } });
    assert.equal((await expecting.info()).worker, 'a');
  });

  test('client certificates are asked for, and only those of the authority are good enough', async () => {
    const strangers = made.authority('strangers');
    const [known, unknown] = [made.signed('known', ca), made.signed('unknown', strangers)];
    const access = { tls: { ...cert, clientCaFile: ca.certFile } };
    const { client, address } = await serving.worker('a', {
      access,
      client: { tls: { caFile: ca.certFile, ...known } },
    });
    assert.equal((await client.info()).worker, 'a');
    for (const wrong of [{}, unknown]) {
      const tls = { caFile: ca.certFile, ...wrong };
      await assert.rejects(
        serving.client(address, { tls, timeoutMs: 3_000 }).info(),
        refused('WORKER_UNAVAILABLE', /./),
      );
    }
  });

  test('nothing older than TLS 1.2 is spoken', async () => {
    const { address } = await serving.worker('a', { access: { tls: cert } });
    const [host, port] = address.split(':') as [string, string];
    const attempt = (version: 'TLSv1.1' | 'TLSv1.2') =>
      new Promise<string>(resolve => {
        const socket = connect({
          host,
          port: Number(port),
          rejectUnauthorized: false,
          minVersion: version,
          maxVersion: version,
          ciphers: 'DEFAULT@SECLEVEL=0',
          ALPNProtocols: ['h2'],
        });
        socket.once('secureConnect', () => {
          resolve(String(socket.getProtocol()));
          socket.destroy();
        });
        socket.once('error', error => resolve(`failed: ${error.message}`));
      });
    assert.equal(await attempt('TLSv1.2'), 'TLSv1.2');
    assert.match(await attempt('TLSv1.1'), /^failed/);
  });

  test('a certificate that is renewed is served without a restart; one that is broken is told and not taken', async () => {
    const files = { certFile: join(made.folder, 'live.crt'), keyFile: join(made.folder, 'live.key') };
    copyFileSync(cert.certFile, files.certFile);
    copyFileSync(cert.keyFile, files.keyFile);
    const { address, observer } = await serving.worker('a', { access: { tls: files }, reloadMs: 20 });
    const ask = (caFile: string) => serving.client(address, { tls: { caFile }, timeoutMs: 3_000 }).info();
    assert.equal((await ask(ca.certFile)).worker, 'a');
    writeFileSync(files.certFile, 'no certificate');
    await until('it is told', () => observer.names().includes('api.certificate-unusable'));
    assert.equal((await ask(ca.certFile)).worker, 'a');
    const others = made.authority('others');
    const renewed = made.signed('renewed', others);
    copyFileSync(renewed.keyFile, files.keyFile);
    copyFileSync(renewed.certFile, files.certFile);
    await until('it is told', () => observer.names().includes('api.certificate-renewed'));
    assert.equal((await ask(others.certFile)).worker, 'a');
    await assert.rejects(ask(ca.certFile), refused('WORKER_UNAVAILABLE', /./));
  });

  test('files that cannot be used are clear errors, on both sides', async () => {
    const garbage = join(made.folder, 'garbage.pem');
    writeFileSync(garbage, 'garbage');
    const missing = { certFile: join(made.folder, 'missing.crt'), keyFile: cert.keyFile };
    const mixed = { certFile: cert.certFile, keyFile: ca.keyFile };
    for (const [tls, text] of [
      [missing, /missing\.crt cannot be read/],
      [mixed, /cannot be used for TLS/],
      [{ certFile: garbage, keyFile: garbage }, /garbage\.pem .*cannot be used for TLS/],
    ] as const) {
      assert.throws(
        () => new AdminServer({ ...serving.options(), access: { tls } }),
        refused('INVALID_ARGUMENT', text),
      );
      assert.throws(() => serving.client('127.0.0.1:1', { tls }), refused('INVALID_ARGUMENT', text));
    }
    const half = { certFile: cert.certFile };
    assert.throws(() => serving.client('127.0.0.1:1', { tls: half }), refused('INVALID_ARGUMENT', /needs its key/));
  });
});

describe('the token', () => {
  test('opens every service, and nothing but health is open without it', async () => {
    const { client, address } = await serving.worker('a', { access: { token: TOKEN }, client: { token: TOKEN } });
    assert.equal((await client.info()).worker, 'a');
    for (const token of [undefined, 'wrong', `${TOKEN}x`, '']) {
      const other = serving.client(address, token === undefined ? {} : { token });
      await assert.rejects(other.info(), refused('UNAUTHENTICATED', /authorization: Bearer TOKEN.*MILLRACE_TOKEN/));
      await assert.rejects(other.watch('p').next(), refused('UNAUTHENTICATED', /token/));
    }
    const generic = new ReflectionClient(address);
    serving.onStop(() => generic.close());
    await assert.rejects(generic.services(), (error: ServiceError) => error.code === status.UNAUTHENTICATED);
    const metadata = new Metadata();
    metadata.set('authorization', `bearer ${TOKEN}`);
    assert.ok((await generic.services(metadata)).includes('millrace.admin.v1.PipelineService'));
    const path = '/grpc.health.v1.Health/Check';
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      const same = (value: Buffer) => value;
      generic.client.makeUnaryRequest(path, same, same, Buffer.alloc(0), (error, answer) =>
        error === null ? resolve(answer as Buffer) : reject(error),
      );
    });
    assert.deepEqual([...bytes], [8, 1]);
  });

  test('goes along when a standby passes a call on, and so does TLS', async () => {
    const access = { tls: { ...cert, clientCaFile: ca.certFile }, token: TOKEN };
    const client = { token: TOKEN, tls: { caFile: ca.certFile, ...made.signed('caller', ca) } };
    const address = likelyFreeAddress();
    const a = await serving.worker('a', { address, leaseMs: 60_000, access, client });
    const b = await serving.worker('b', { leaseMs: 60_000, access, client });
    await a.worker.start();
    await b.worker.start();
    await b.client.deploy(fakeBundle('p'));
    await until('a runs it', () => a.engine.running.length === 1);
    assert.equal((await b.client.get('p')).worker, 'a');
    assert.equal((await b.client.watch('p').next()).value?.worker, 'a');
    assert.equal((await b.client.tasks())[0]?.worker, 'a');
  });

  test('is not taken over a network without TLS, unless somebody says so', () => {
    const attempt = (listen: string, access: object) => () =>
      new AdminServer({ ...serving.options(), listen, access: { token: TOKEN, ...access } });
    for (const listen of ['0.0.0.0:0', '10.0.0.1:4280', '[::]:0', 'millrace.example:4280', '127.example.org:1']) {
      assert.throws(attempt(listen, {}), refused('INVALID_ARGUMENT', /without TLS.*--tls-cert.*--insecure/));
      assert.doesNotThrow(attempt(listen, { insecure: true }));
      assert.doesNotThrow(attempt(listen, { tls: cert }));
    }
    for (const listen of ['127.0.0.1:0', 'localhost:0', '[::1]:0']) assert.doesNotThrow(attempt(listen, {}));
  });

  test('is not the only way to be asked: without any, others cannot reach the API unless somebody says so', () => {
    const attempt = (listen: string, access: object) => () => new AdminServer({ ...serving.options(), listen, access });
    const identities = { file: '/none', read: () => [] };
    for (const listen of ['0.0.0.0:0', '[::]:0', 'millrace.example:4280']) {
      const open = /run code for everybody who reaches .*--insecure/;
      assert.throws(attempt(listen, {}), refused('INVALID_ARGUMENT', open));
      assert.throws(attempt(listen, { tls: cert }), refused('INVALID_ARGUMENT', open));
      assert.throws(attempt(listen, { identities }), refused('INVALID_ARGUMENT', /without TLS/));
      for (const access of [
        { insecure: true },
        { tls: { ...cert, clientCaFile: ca.certFile } },
        { tls: cert, identities },
      ]) {
        assert.doesNotThrow(attempt(listen, access));
      }
    }
    assert.doesNotThrow(attempt('127.0.0.1:0', {}));
  });

  test('must be one that a header can carry and nobody guesses', () => {
    for (const token of ['short', 'with a space in it', 'ünicode-token', '']) {
      const attempt = () => new AdminServer({ ...serving.options(), access: { token } });
      assert.throws(attempt, refused('INVALID_ARGUMENT', /openssl rand/));
    }
  });

  test('is nowhere in what callers are told', async () => {
    const { address } = await serving.worker('a', { access: { token: TOKEN, tls: cert } });
    const generic = new ReflectionClient(address, { credentials: credentials.createSsl(readFileSync(ca.certFile)) });
    serving.onStop(() => generic.close());
    const error = await generic.services().catch((error: ServiceError) => error);
    assert.ok(error instanceof Error);
    assert.ok(!JSON.stringify([error.message, (error as ServiceError).metadata.toJSON()]).includes(TOKEN));
  });
});
