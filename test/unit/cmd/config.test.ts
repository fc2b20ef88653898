import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { environmentFor, natsOptions, settle, strangeVariables, tokenOf } from '../../../cmd/config.ts';
import { readWorkerFile } from '../../../cmd/config-file.ts';
import {
  deleteContext,
  readClientFile,
  setContext,
  shownContext,
  targetOf,
  useContext,
} from '../../../cmd/contexts.ts';
import { NATS_SETTINGS, SETTINGS, type Setting, WORKER_SETTINGS } from '../../../cmd/settings.ts';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { didYouMean } from '../../../lib/base/nearest.ts';
import { tableRows, textOf } from '../../tidy/texts.ts';
import { settingRows } from './settings-rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-config-test-'));
const file = join(folder, 'client.yaml');
const before = { ...process.env };

beforeEach(() => {
  for (const name of Object.keys(process.env)) if (/^(MILLRACE|NATS)_/.test(name)) delete process.env[name];
  process.env.MILLRACE_CONFIG = file;
  rmSync(file, { force: true });
});
afterEach(() => {
  process.env = { ...before };
});
after(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** The text of the INVALID_ARGUMENT that it throws. */
function wrong(run: () => unknown): string {
  let text = '';
  assert.throws(run, error => {
    text = isMillraceError(error, 'INVALID_ARGUMENT') ? error.message : '';
    return text !== '';
  });
  return text;
}

describe('the table of settings', () => {
  test('is that of the README, row by row', () => {
    const told = tableRows(textOf('cmd/README.md'), 'file', 'setting', 'flag', 'variable');
    assert.deepEqual(told, settingRows());
  });

  test('takes a place in the cluster that others can be told of', () => {
    const settled = (flags: Record<string, string>) => settle(['zone', 'capacity', 'standbys'], { flags });
    assert.deepEqual(settled({}), { zone: null, capacity: 1, standbys: 0 });
    const given = { zone: 'rack 2', capacity: '0.5', standbys: '0' };
    assert.deepEqual(settled(given), { zone: 'rack 2', capacity: 0.5, standbys: 0 });
    assert.equal(settled({ zone: 'é'.repeat(64) }).zone!.length, 64);
    for (const zone of ['', 'a\nb', 'x'.repeat(65)])
      assert.match(
        wrong(() => settled({ zone })),
        /at most 64 characters/,
      );
    for (const capacity of ['-1', 'much', 'Infinity'])
      assert.match(
        wrong(() => settled({ capacity })),
        /0 or more/,
      );
    for (const standbys of ['-1', '1.5'])
      assert.match(
        wrong(() => settled({ standbys })),
        /a whole number, 0 or more/,
      );
  });

  test('gives each flag of a command, each variable and each place in a file one meaning', () => {
    const all = Object.values<Setting>(SETTINGS);
    const places = all.filter(({ file }) => file !== null).map(({ file, key }) => `${file} ${key}`);
    assert.equal(new Set(places).size, places.length);
    for (const { secret, flag } of all) if (secret === true) assert.equal(flag, null, 'secrets have no flags');
  });
});

describe('a setting', () => {
  test('is taken from the flag, else the variable, else the file, else the default', () => {
    const path = write('worker.yaml', 'data: /from/file\nreplicas: 3\n');
    const values = readWorkerFile(path);
    process.env.MILLRACE_DATA = 'from-variable';
    const names = ['data', 'replicas', 'listen'] as const;
    assert.deepEqual(settle(names, { flags: { data: 'from-flag' }, file: values }), {
      data: 'from-flag',
      replicas: 3,
      listen: '127.0.0.1:4280',
    });
    assert.equal(settle(names, { file: values }).data, 'from-variable');
    process.env.MILLRACE_DATA = '';
    assert.equal(settle(names, { file: values }).data, '/from/file', 'an empty variable is not set');
  });

  test('that is wrong is told with the flag or variable, and what to give', () => {
    assert.equal(
      wrong(() => settle(['listen'], { flags: { listen: 'nonsense' } })),
      '--listen is nonsense; give HOST:PORT, e.g. 127.0.0.1:4280',
    );
    process.env.MILLRACE_REPLICAS = '0';
    assert.equal(
      wrong(() => settle(['replicas'])),
      'MILLRACE_REPLICAS is 0; give a whole number, 1 or more',
    );
    process.env.MILLRACE_LOG = 'wran';
    assert.match(
      wrong(() => settle(['logLevel'])),
      /^MILLRACE_LOG is wran; give one of debug, .*; did you mean warn\?$/,
    );
  });

  test('that is a URL is used with its login, and shown without', () => {
    const nats = (servers: string) => natsOptions(settle(NATS_SETTINGS, { flags: { nats: servers } }), 'test');
    assert.deepEqual(nats('nats://me:p%40ss@a:4222,b:4222'), {
      servers: ['nats://a:4222', 'b:4222'],
      name: 'test',
      user: 'me',
      password: 'p@ss',
    });
    const digits = nats('me:123/@x@a:4222');
    assert.deepEqual([digits.servers, digits.user, digits.password], [['a:4222'], 'me', '123/@x']);
    assert.equal(nats('tls://t0ken@a').token, 't0ken');
    process.env.NATS_USER = 'other';
    assert.deepEqual([nats('nats://me:pass@a').user, nats('nats://me:pass@a').password], ['other', undefined]);
    delete process.env.NATS_USER;
    assert.match(
      wrong(() => nats('nats://me:pass@a,nats://you:pass@b')),
      /^the NATS servers have different logins in their URLs/,
    );
    const path = write('worker.yaml', 'nats: { servers: [5, "nats://me:pass@a"], password: 12345 }\notlp: 7\n');
    assert.doesNotMatch(
      wrong(() => readWorkerFile(path)),
      /pass@|12345/,
    );
  });

  test('that names variables for pipelines names none of the worker, and none that is missing', () => {
    process.env.STRIPE_URL = 'https://stripe';
    const { variables, given } = environmentFor(['STRIPE_URL']);
    assert.equal(variables.STRIPE_URL, 'https://stripe');
    assert.deepEqual(given, ['STRIPE_URL']);
    assert.ok(Object.keys(variables).every(name => !/^(NATS|MILLRACE|OTEL|TEST)_/.test(name)));
    for (const name of ['NATS_PASSWORD', 'MILLRACE_TOKEN', 'OTEL_EXPORTER_OTLP_HEADERS']) {
      process.env[name] = 'x';
      assert.match(
        wrong(() => environmentFor([name])),
        /which is of the worker itself/,
      );
      delete process.env[name];
    }
    delete process.env.STRIPE_URL;
    assert.match(
      wrong(() => environmentFor(['STRIPE_URL'])),
      /^--env names STRIPE_URL, which is not set/,
    );
  });

  test('of an unknown variable is warned of, but not those that Kubernetes makes for a service named millrace', () => {
    process.env.MILLRACE_SEVRER = 'x';
    process.env.MILLRACE_PORT = 'tcp://10.0.0.1:4280';
    process.env.MILLRACE_SERVICE_HOST = '10.0.0.1';
    process.env.MILLRACE_PORT_4280_TCP_ADDR = '10.0.0.1';
    assert.deepEqual(strangeVariables(), [
      'the variable MILLRACE_SEVRER means nothing to millrace; did you mean MILLRACE_SERVER?',
    ]);
  });

  test('may be a token in a file, and the stronger source wins', () => {
    const token = write('token', 'secret-token\n');
    assert.equal(tokenOf('worker', { flags: { serverTokenFile: token } }), 'secret-token');
    process.env.MILLRACE_TOKEN = 'of-the-environment';
    assert.equal(tokenOf('client', { flags: { tokenFile: token } }), 'secret-token');
    assert.equal(tokenOf('client', {}), 'of-the-environment');
    const empty = write('empty', '\n');
    assert.match(
      wrong(() => tokenOf('client', { flags: { tokenFile: empty } })),
      /is empty; write the token into it/,
    );
    assert.match(
      wrong(() => tokenOf('client', { flags: { tokenFile: `${empty}-not` } })),
      /cannot be read/,
    );
  });
});

describe("a worker's file", () => {
  test('has all settings of a worker, paths relative to it', () => {
    const text = `nats: { servers: [nats://a:1, nats://b:2], creds: nats.creds, tls: { ca: ca.pem } }
data: state
listen: 4280
tls: { cert: a.pem, key: a.key }
insecure: true
metrics: off
log: { level: warn }
stopSeconds: 2.5
`;
    const settings = settle(WORKER_SETTINGS, { file: readWorkerFile(write('worker.yaml', text)) });
    assert.deepEqual(settings.nats, ['nats://a:1', 'nats://b:2']);
    assert.equal(settings.natsCreds, join(folder, 'nats.creds'));
    assert.equal(settings.data, join(folder, 'state'));
    assert.equal(settings.listen, '127.0.0.1:4280');
    assert.equal(settings.metrics, 'off');
    assert.equal(settings.insecure, true);
    assert.equal(settings.stopSeconds, 2.5);
    assert.equal(settings.logLevel, 'warn');
  });

  test('with mistakes is refused with all of them, each with its place and the nearest name', () => {
    const path = write('wrong.yaml', 'nats: { sevrers: x }\nreplicas: three\nlisten: { port: 1 }\nlog: loud\n');
    assert.deepEqual(wrong(() => readWorkerFile(path)).split('\n'), [
      `${path}: nats.sevrers is no setting; did you mean nats.servers?`,
      `${path}: replicas is three; give a whole number, 1 or more`,
      `${path}: listen is {"port":1}; give HOST:PORT, e.g. 127.0.0.1:4280`,
      `${path}: log is "loud"; give a mapping with log.level, log.format`,
    ]);
  });

  test('that is no YAML, or not there, is told as such', () => {
    assert.match(
      wrong(() => readWorkerFile(write('bad.yaml', 'a: [1'))),
      /bad\.yaml is no YAML: .* at line 1/,
    );
    assert.match(
      wrong(() => readWorkerFile(join(folder, 'gone.yaml'))),
      /there is no file .*gone\.yaml/,
    );
  });
});

describe('contexts', () => {
  test('are made, used, changed and forgotten, and comments stay', () => {
    assert.deepEqual(setContext('local', new Map([['server', '127.0.0.1:1']]), { use: false }), { created: true });
    assert.equal(readClientFile().current, 'local', 'the first is the current one');
    writeFileSync(file, `# mine\n${readFileSync(file, 'utf8')}`);
    setContext(
      'prod',
      new Map([
        ['server', 'prod:2'],
        ['tlsCa', '/ca.pem'],
      ]),
      { use: false },
    );
    assert.deepEqual(setContext('prod', new Map([['server', 'prod:3']]), { use: false }), { created: false });
    useContext('prod');
    const { current, contexts } = readClientFile();
    assert.equal(current, 'prod');
    assert.deepEqual([...contexts.keys()], ['local', 'prod']);
    assert.deepEqual(shownContext('prod', contexts.get('prod')!), {
      name: 'prod',
      server: 'prod:3',
      tls: { ca: '/ca.pem' },
    });
    deleteContext('prod');
    assert.equal(readClientFile().current, null);
    assert.match(readFileSync(file, 'utf8'), /^# mine\n/);
    assert.equal(statSync(file).mode & 0o077, 0, 'it is for its owner alone');
    assert.deepEqual(
      readdirSync(folder).filter(name => name.includes('partial')),
      [],
    );
    assert.match(
      wrong(() => useContext('locl')),
      /there is no context locl in .*; did you mean local\?/,
    );
  });

  test('say where a client goes: the current one, or as a whole the one that is named', () => {
    setContext('local', new Map([['server', 'local:1']]), { use: true });
    setContext(
      'prod',
      new Map([
        ['server', 'prod:2'],
        ['tlsCa', '/ca.pem'],
        ['token', 'prod-token'],
      ]),
      { use: false },
    );
    assert.deepEqual([targetOf({}).server, targetOf({}).tls, targetOf({}).sources.server], ['local:1', false, 'file']);
    process.env.MILLRACE_SERVER = 'elsewhere:3';
    process.env.MILLRACE_TOKEN = 'token-of-elsewhere';
    assert.equal(targetOf({}).server, 'elsewhere:3');
    const named = targetOf({ context: 'prod' });
    assert.deepEqual([named.server, named.tls, named.token], ['prod:2', true, 'prod-token']);
    assert.equal(targetOf({ context: 'prod', server: 'other:4' }).server, 'other:4');
    process.env.MILLRACE_CONTEXT = 'prod';
    assert.equal(targetOf({}).tlsCa, '/ca.pem');
    assert.equal(targetOf({}).server, 'elsewhere:3');
  });

  test('without a file are none, and the default is this machine', () => {
    assert.equal(existsSync(file), false);
    assert.deepEqual([targetOf({}).server, targetOf({}).context, targetOf({}).tls], ['127.0.0.1:4280', null, false]);
  });

  test('with mistakes are refused with all of them, and never written over', () => {
    const text = `curent-context: a
contexts:
  - { name: a, sever: x }
  - { server: y:1 }
  - { name: a }
  - { name: b, tls: { ca: 7 } }
`;
    write('client.yaml', text);
    assert.deepEqual(wrong(() => readClientFile()).split('\n'), [
      `${file}: curent-context is no setting; did you mean current-context?`,
      `${file}: contexts[0].sever is no setting; did you mean server?`,
      `${file}: contexts[1] has no name; give it one`,
      `${file}: contexts[2] has the name a, as an earlier one has; give it another`,
      `${file}: contexts[3].tls.ca is 7; give a path`,
    ]);
    wrong(() => setContext('c', new Map(), { use: true }));
    assert.equal(readFileSync(file, 'utf8'), text);
  });

  test('do not show secrets', () => {
    setContext('a', new Map([['token', 'very-secret']]), { use: true });
    assert.doesNotMatch(JSON.stringify(shownContext('a', readClientFile().contexts.get('a')!)), /very-secret/);
  });
});

test('a name that was mistyped is guessed only when it is near', () => {
  assert.equal(didYouMean('gte', ['get', 'describe']), '; did you mean get?');
  assert.equal(didYouMean('frobnicate', ['get', 'describe']), '');
});
