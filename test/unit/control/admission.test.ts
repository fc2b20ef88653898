/**
 * Who calls: what the access file may say, tokens and certificates over real sockets, files that change while they are
 * used, and calls that workers pass on for others.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { accessFile } from '../../../cmd/access-file.ts';
import { writeToken } from '../../../cmd/secret-files.ts';
import { type ErrorCode, isMillraceError } from '../../../lib/base/errors.ts';
import { digest, FORWARDED, ON_BEHALF } from '../../../lib/control/admission.ts';
import { Channel } from '../../../lib/control/channel.ts';
import { parseIdentities } from '../../../lib/control/identities.ts';
import { AdminServer } from '../../../lib/control/server.ts';
import { Certificates } from '../../rig/certificates.ts';
import { ReflectionClient } from '../../rig/reflection.ts';
import { fakeBundle, until } from '../host/fakes.ts';
import { likelyFreeAddress, Serving } from './serving.ts';

let folder: string;
let serving: Serving;
let made: Certificates;
before(() => {
  made = new Certificates();
});
after(() => made.remove());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-admission-'));
  serving = new Serving();
});
afterEach(async () => {
  await serving.stop();
  rmSync(folder, { recursive: true, force: true });
});

function refused(code: ErrorCode, text: RegExp) {
  return (error: unknown) => isMillraceError(error, code) && text.test(error.message);
}

const token = (name: string) => `${name}-and-a-long-tail`;
const entry = (name: string, roles: string) =>
  `  - {name: ${name}, token: 'sha256:${digest(token(name))}', roles: ${roles}}\n`;

function write(...entries: string[]): string {
  const file = join(folder, 'access.yaml');
  writeFileSync(file, `identities:\n${entries.join('')}`);
  return file;
}

describe('the access file', () => {
  const mistakesOf = (document: unknown): string => {
    try {
      parseIdentities(document, 'f');
      return '';
    } catch (error) {
      assert.ok(isMillraceError(error, 'INVALID_ARGUMENT'));
      return error.message;
    }
  };

  test('says who there is, by one token or certificate, or several', () => {
    const hash = digest('a');
    const roles = ['read', 'deploy:shop-*'];
    const identities = [
      { name: 'a', token: `sha256:${hash}`, roles },
      { name: 'b', certificate: ['b.example', 'spiffe://b'], roles: 'peer' },
    ];
    assert.deepEqual(parseIdentities({ identities }, 'f'), [
      {
        ...{ name: 'a', tokens: [hash], certificates: [] },
        grants: [
          { role: 'read', pipelines: '*' },
          { role: 'deploy', pipelines: 'shop-*' },
        ],
      },
      {
        ...{ name: 'b', tokens: [], certificates: ['b.example', 'spiffe://b'] },
        grants: [{ role: 'peer', pipelines: '*' }],
      },
    ]);
  });

  test('is refused with all of its mistakes, and shows no token that stands there', () => {
    const text = mistakesOf({
      identities: [
        { name: 'a', token: 'the-token-itself', roles: ['read', 'reads', 'read:Shop'], rolls: 1 },
        { name: 'a b', roles: [] },
        { name: 'token', certificate: 'x', roles: ['read'] },
        { name: 'a', certificate: 'x' },
        7,
      ],
      more: 1,
    });
    for (const said of [
      /^f: more is no setting/m,
      /identities\[0\]\.rolls is no setting.*roles/,
      /\[0\]\.token is no sha256.*millrace keys --token/,
      /\[0\]\.roles has reads; give ROLE or ROLE:PATTERN, of read, data, operate, deploy, peer, admin$/m,
      /\[0\]\.roles has read:Shop; .*a pattern has small letters/,
      /\[1\]\.name is missing or none/,
      /\[1\] has neither token nor certificate/,
      /\[2\]\.name token means somebody else/,
      /\[3\]\.roles is missing/,
      /\[3\]\.name is that of a, too/,
      /\[3\]\.certificate is that of token, too/,
      /\[4\]\.name is missing/,
    ]) {
      assert.match(text, said);
    }
    assert.ok(!text.includes('the-token-itself'));
    for (const document of [null, [], {}, { identities: [] }, { identities: 'a' }]) {
      assert.match(mistakesOf(document), /nobody could call the API/);
    }
  });

  test('takes what `keys --token` makes', () => {
    const path = join(folder, 'a.token');
    const hash = writeToken(path);
    assert.equal(hash, `sha256:${digest(readFileSync(path, 'utf8').trim())}`);
    assert.throws(() => writeToken(path), refused('INVALID_ARGUMENT', /cannot be written.*exists/));
  });

  test('that is not there, is no YAML or names certificates that nobody looks at keeps a server from starting', () => {
    const attempt = (text: string | null) => () => {
      const file = join(folder, 'x.yaml');
      if (text !== null) writeFileSync(file, text);
      return new AdminServer({ ...serving.options(), access: { identities: accessFile(file) } });
    };
    assert.throws(attempt(null), refused('INVALID_ARGUMENT', /there is no access file/));
    assert.throws(attempt('a: [b'), refused('INVALID_ARGUMENT', /no YAML/));
    const named = 'identities: [{name: a, certificate: a.example, roles: [read]}]';
    assert.throws(attempt(named), refused('INVALID_ARGUMENT', /--tls-client-ca/));
  });
});

describe('a token', () => {
  test('is somebody, and another is nobody; health is open and reflection for all who are known', async () => {
    const { address, events } = await serving.worker('a', {
      access: { identities: accessFile(write(entry('viewer', '[read]'))) },
    });
    const viewer = serving.client(address, { token: token('viewer') });
    assert.deepEqual(await viewer.list(), []);
    for (const wrong of ['viewer', `${token('viewer')}x`, '', undefined]) {
      const other = serving.client(address, wrong === undefined ? {} : { token: wrong });
      await assert.rejects(other.list(), refused('UNAUTHENTICATED', /token/));
    }
    const generic = new ReflectionClient(address);
    serving.onStop(() => generic.close());
    await assert.rejects(generic.services(), /16 UNAUTHENTICATED/);
    const channel = new Channel({ address });
    serving.onStop(() => channel.close());
    assert.deepEqual(await channel.call('Check', { service: '' }), { status: 'SERVING' });
    assert.equal(events.followers.size, 0);
  });

  test('of the settings may all beside those of the file, unless the file says who it is', async () => {
    const identities = accessFile(write(entry('viewer', '[read]')));
    const one = await serving.worker('a', { access: { token: token('one'), identities } });
    const all = serving.client(one.address, { token: token('one') });
    await all.deploy(fakeBundle('p'));
    assert.equal((await all.get('p')).deployedBy, 'token');
    const two = await serving.worker('b', { access: { token: token('viewer'), identities } });
    const viewer = serving.client(two.address, { token: token('viewer') });
    await assert.rejects(viewer.deploy(fakeBundle('p')), refused('PERMISSION_DENIED', /viewer has read/));
  });

  test('that is exchanged in its file is the one from then on, and what was opened with the old one ends', async () => {
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, `${token('old')}\n`);
    const { address, observer } = await serving.worker('a', { access: { tokenFile }, reloadMs: 20 });
    const before = serving.client(address, { token: token('old') });
    const watch = before.events();
    const next = watch.next();
    let isOver = false;
    next.catch(() => {
      isOver = true;
    });
    assert.deepEqual(await before.list(), []);
    writeFileSync(tokenFile, 'short');
    await until('it is told', () => observer.names().includes('api.access-unusable'));
    assert.deepEqual(await before.list(), []);
    writeFileSync(tokenFile, token('another'));
    await until('it is told', () => observer.names().includes('api.access-renewed'));
    assert.deepEqual(await serving.client(address, { token: token('another') }).list(), []);
    await assert.rejects(before.list(), refused('UNAUTHENTICATED', /not the token/));
    await until('the stream ends', () => isOver);
    await assert.rejects(next, refused('PERMISSION_DENIED', /has changed while this was open/));
  });
});

describe('an access file that changes', () => {
  test('counts at once, and streams end of those whose roles are others; one that cannot be used is told', async () => {
    const file = write(entry('a', '[read]'), entry('b', '[read]'));
    const { address, observer } = await serving.worker('w', {
      access: { identities: accessFile(file) },
      reloadMs: 20,
    });
    const [a, b] = [serving.client(address, { token: token('a') }), serving.client(address, { token: token('b') })];
    const next = [a.events().next(), b.events().next()];
    let ended = 0;
    for (const one of next) one.catch(() => ended++);
    assert.deepEqual([await a.list(), await b.list()], [[], []]);
    write(entry('a', '[reed]'));
    await until('it is told', () => observer.names().includes('api.access-unusable'));
    assert.match(String(observer.events.find(({ event }) => event === 'api.access-unusable')!.message), /reed/);
    assert.deepEqual([await a.list(), ended], [[], 0]);
    write(entry('a', '[operate]'), entry('b', '[read]'));
    await until('it is told', () => observer.names().includes('api.access-renewed'));
    await until('the stream ends', () => ended === 1);
    await assert.rejects(next[0]!, refused('PERMISSION_DENIED', /has changed/));
    await assert.rejects(a.list(), refused('PERMISSION_DENIED', /needs the role read, and a has operate/));
    assert.deepEqual(await b.list(), []);
    write(entry('a', '[operate]'));
    await until('that one ends, too', () => ended === 2);
    await assert.rejects(next[1]!, refused('PERMISSION_DENIED', /has changed/));
    await assert.rejects(b.list(), refused('UNAUTHENTICATED', /token/));
  });

  test('may be a link that is turned to another folder, as Kubernetes does it', async () => {
    const versions = ['1', '2'].map(version => join(folder, version));
    for (const version of versions) mkdirSync(version);
    const text = (name: string) => `identities:\n${entry(name, '[read]')}`;
    writeFileSync(join(versions[0]!, 'access.yaml'), text('a'));
    writeFileSync(join(versions[1]!, 'access.yaml'), text('b'));
    symlinkSync(versions[0]!, join(folder, 'data'));
    const file = join(folder, 'data', 'access.yaml');
    const { address, observer } = await serving.worker('w', {
      access: { identities: accessFile(file) },
      reloadMs: 20,
    });
    assert.deepEqual(await serving.client(address, { token: token('a') }).list(), []);
    symlinkSync(versions[1]!, join(folder, 'turned'));
    execFileSync('mv', ['-T', join(folder, 'turned'), join(folder, 'data')]);
    await until('it is told', () => observer.names().includes('api.access-renewed'));
    assert.deepEqual(await serving.client(address, { token: token('b') }).list(), []);
    await assert.rejects(serving.client(address, { token: token('a') }).list(), refused('UNAUTHENTICATED', /token/));
  });
});

describe('a certificate', () => {
  test('is somebody by its common name or another; an unknown one is nobody, one that has ended does not get so far', async () => {
    const ca = made.authority('authority');
    const cert = made.signed('server', ca);
    const file = join(folder, 'access.yaml');
    const roles = 'roles: [read]';
    writeFileSync(
      file,
      `identities:
  - {name: by-common, certificate: viewer, ${roles}}
  - {name: by-dns, certificate: dash.example, ${roles}}
  - {name: by-uri, certificate: 'spiffe://example/dash', ${roles}}
`,
    );
    const access = { tls: { ...cert, clientCaFile: ca.certFile }, identities: accessFile(file) };
    const { address, observer } = await serving.worker('a', { access });
    const ask = (names: { certFile: string; keyFile: string }) =>
      serving.client(address, { tls: { caFile: ca.certFile, ...names }, timeoutMs: 5_000 }).list();
    assert.deepEqual(await ask(made.signed('viewer', ca)), []);
    assert.deepEqual(await ask(made.signed('other', ca, { names: 'DNS:dash.example' })), []);
    assert.deepEqual(await ask(made.signed('third', ca, { names: 'URI:spiffe://example/dash' })), []);
    const stranger = made.signed('stranger', ca, { names: 'DNS:nobody.example' });
    const nobody = /the certificate of stranger, nobody.example is nobody's in the access file/;
    await assert.rejects(ask(stranger), refused('UNAUTHENTICATED', nobody));
    const past = made.signed('viewer', ca, { days: -1 });
    await assert.rejects(ask(past), refused('WORKER_UNAVAILABLE', /./));
    const told = observer.events.filter(({ event }) => event === 'api.refused');
    assert.deepEqual(
      told.map(({ who, method, code }) => ({ who, method, code })),
      [{ who: null, method: 'ListPipelines', code: 'UNAUTHENTICATED' }],
    );
  });

  test('of one authority is all that is asked for without an access file, and its name is in specs', async () => {
    const ca = made.authority('authority');
    const access = { tls: { ...made.signed('server', ca), clientCaFile: ca.certFile } };
    const client = { tls: { caFile: ca.certFile, ...made.signed('somebody', ca) } };
    const { client: caller } = await serving.worker('a', { access, client });
    await caller.deploy(fakeBundle('p'));
    assert.equal((await caller.get('p')).deployedBy, 'somebody');
  });
});

describe('a call that is passed on', () => {
  const entries = () => [entry('viewer', '[read:p]'), entry('worker', '[peer]'), entry('root', '[admin]')];

  test('is judged by whoever called, and those who are no workers cannot pass on any', async () => {
    const access = { token: token('worker'), identities: accessFile(write(...entries())) };
    const address = likelyFreeAddress();
    const a = await serving.worker('a', { address, leaseMs: 60_000, access });
    const b = await serving.worker('b', { leaseMs: 60_000, access });
    await a.worker.start();
    await b.worker.start();
    const root = serving.client(b.address, { token: token('root') });
    for (const name of ['p', 'q']) await root.deploy(fakeBundle(name));
    await until('a runs both', () => a.engine.running.length === 2);
    const viewer = serving.client(b.address, { token: token('viewer') });
    assert.deepEqual(
      (await root.list()).map(({ name, worker }) => [name, worker]),
      [
        ['p', 'a'],
        ['q', 'a'],
      ],
    );
    assert.deepEqual(
      (await viewer.list()).map(({ name, worker }) => [name, worker]),
      [['p', 'a']],
    );
    assert.deepEqual(
      (await viewer.tasks()).map(({ pipeline }) => pipeline),
      ['p'],
    );
    assert.equal((await viewer.watch('p').next()).value?.worker, 'a');
    await assert.rejects(
      viewer.get('q'),
      refused('PERMISSION_DENIED', /role read for pipeline q, and viewer has read:p/),
    );

    const speak = async (name: string, headers: Record<string, string>) => {
      const channel = new Channel({ address: a.address, token: token(name) }, headers);
      try {
        return (await channel.call('ListPipelines', {})).pipelines.map(({ name }) => name);
      } finally {
        channel.close();
      }
    };
    const forged = { [FORWARDED]: 'b', [ON_BEHALF]: 'root' };
    for (const name of ['viewer', 'root']) {
      await assert.rejects(speak(name, forged), refused('PERMISSION_DENIED', /only workers pass on calls/));
    }
    assert.deepEqual(await speak('worker', { [FORWARDED]: 'b', [ON_BEHALF]: 'viewer' }), ['p']);
    const unknown = { [FORWARDED]: 'b', [ON_BEHALF]: 'nobody' };
    await assert.rejects(
      speak('worker', unknown),
      refused('PERMISSION_DENIED', /call of nobody, whom this worker does not know/),
    );
    await assert.rejects(speak('worker', {}), refused('PERMISSION_DENIED', /role read, and worker has peer/));
  });

  test('by a worker that is nobody is told as what it is: a matter between workers', async () => {
    const identities = accessFile(write(...entries()));
    const address = likelyFreeAddress();
    const a = await serving.worker('a', { address, leaseMs: 60_000, access: { token: token('worker'), identities } });
    const b = await serving.worker('b', { leaseMs: 60_000, access: { identities } });
    await a.worker.start();
    await b.worker.start();
    const root = serving.client(b.address, { token: token('root') });
    await assert.rejects(
      root.tasks(),
      refused('WORKER_UNAVAILABLE', /worker that leads, a, does not let this one in .*role peer/),
    );
  });
});
