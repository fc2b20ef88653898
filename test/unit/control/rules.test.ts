/**
 * Who may call what: the table against the schema, against what is written down here and for people, and, over real
 * sockets, each role with each method.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { digest } from '../../../lib/control/admission.ts';
import { Channel } from '../../../lib/control/channel.ts';
import { Caller, parseGrant, ROLES, type Role } from '../../../lib/control/roles.ts';
import { RULES } from '../../../lib/control/rules.ts';
import { methodSchema, SERVICES, type ServiceName, serviceSchema } from '../../../lib/control/schema.ts';
import type { MethodName, Request } from '../../../lib/control/wire.ts';
import { tableRows, textOf } from '../../tidy/texts.ts';
import { fakeBundle, until } from '../host/fakes.ts';
import { Serving } from './serving.ts';

/** What each role is for, apart from the table. `known`: all who are let in; `open`: all. */
const MAY: Readonly<Record<Exclude<Role, 'admin' | 'peer'> | 'known' | 'open', readonly MethodName[]>> = {
  open: ['Check', 'List', 'Watch'],
  known: ['GetServerInfo'],
  read: [
    ...(['ListPipelines', 'GetPipeline', 'DescribePipeline', 'WatchPipeline', 'ListLetters', 'WatchEvents'] as const),
    ...(['ListWorkers', 'GetWorker', 'WatchWorkers', 'ListTasks', 'GetTask', 'WatchTasks'] as const),
    'PreviewRebalance',
  ],
  data: ['ListTables', 'GetEntries', 'ScanEntries', 'GetLetter'],
  operate: [
    ...(['PausePipeline', 'ResumePipeline', 'RestartPipeline', 'AdvanceSource'] as const),
    ...(['ReplayLetters', 'DiscardLetters', 'ListAudit', 'DrainWorker', 'UncordonWorker'] as const),
  ],
  deploy: ['PlanPipeline', 'DeployPipeline', 'DeletePipeline'],
};
const METHODS = Object.keys(SERVICES).flatMap(name => Object.keys(serviceSchema(name as ServiceName)) as MethodName[]);

describe('the table of methods', () => {
  test('has a row for every method of the schema, and no other', () => {
    assert.ok(METHODS.length >= 30);
    assert.deepEqual(Object.keys(RULES).sort(), [...METHODS].sort());
  });

  test('gives each method to the role that it is for', () => {
    const said = Object.fromEntries(METHODS.map(name => [name, RULES[name].role]));
    const wanted = Object.entries(MAY).flatMap(([role, methods]) => methods.map(name => [name, role]));
    assert.deepEqual(said, Object.fromEntries(wanted));
  });

  test('notes what operators and deployers change, and nothing else', () => {
    const changing = METHODS.filter(name => RULES[name].changes !== undefined).sort();
    const asking = ['PlanPipeline', 'ListAudit'];
    assert.deepEqual(changing, [...MAY.operate, ...MAY.deploy].filter(name => !asking.includes(name)).sort());
  });

  test('judges every method that is about a pipeline by it', () => {
    const unjudged = METHODS.filter(name => RULES[name].pipeline === undefined && RULES[name].checksLater !== true);
    const about = [
      ...(['ListWorkers', 'GetWorker', 'WatchWorkers', 'DrainWorker', 'UncordonWorker'] as const),
      ...(['GetServerInfo', ...MAY.open] as const),
    ];
    assert.deepEqual(unjudged.sort(), about.sort());
  });

  test('and the roles stand in the documents', () => {
    const rows = tableRows(textOf('deploy/SECURITY.md'), 'role', 'what for');
    assert.deepEqual(
      rows,
      Object.entries(ROLES).map(([role, means]) => [`\`${role}\``, means]),
    );
  });
});

describe('a grant', () => {
  test('is a role, or one for pipelines of a pattern', () => {
    assert.deepEqual(parseGrant('read'), { role: 'read', pipelines: '*' });
    assert.deepEqual(parseGrant('deploy:shop-*'), { role: 'deploy', pipelines: 'shop-*' });
    for (const text of ['', 'reader', 'read:', 'read:Shop', 'read:a.b', 'peer:shop', 'read shop', 'constructor']) {
      assert.equal(parseGrant(text), null, text);
    }
  });

  test('covers what its pattern says, whatever callers ask for', () => {
    const may = (text: string, pipeline: string | null) =>
      new Caller({ name: 'n', grants: [parseGrant(text)!] }, { from: '', knownBy: '' }).may('read', pipeline);
    for (const name of ['shop-', 'shop-a', 'shop-a-b']) assert.equal(may('read:shop-*', name), true, name);
    for (const name of ['shop', 'a-shop-a', 'billing', '', null]) assert.equal(may('read:shop-*', name), false);
    assert.deepEqual(
      [may('read:*-eu', 'a-eu'), may('read:*-eu', 'a-eu-b'), may('read:a*c', 'abbc')],
      [true, false, true],
    );
    for (const name of ['a', 'a\nb', '', null]) assert.equal(may('read', name), true);
    assert.deepEqual([may('read:a', 'a'), may('read:a', 'b'), may('data', 'a')], [true, false, false]);
  });

  test('of admin is for all but passing on calls', () => {
    const admin = new Caller({ name: 'n', grants: [parseGrant('admin')!] }, { from: '', knownBy: '' });
    const held = (Object.keys(ROLES) as Role[]).filter(role => admin.has(role));
    assert.deepEqual(held, ['read', 'data', 'operate', 'deploy', 'admin']);
  });
});

describe('each role, over real sockets', () => {
  const serving = new Serving();
  let address: string;
  let audited: () => Promise<readonly { who: string | null; method: string | null; pipeline: string | null }[]>;
  const holders = [...(Object.keys(ROLES) as Role[]), ...(Object.keys(ROLES) as Role[]).map(role => `${role}:shop-*`)]
    .filter(text => text !== 'peer:shop-*')
    .map(text => ({ text, name: text.replaceAll(/[:*]/g, '.'), grants: [parseGrant(text)!] }));
  const tokenOf = (text: string) => `the-token-of-${text}`;

  before(async () => {
    const identities = holders.map(({ text, name, grants }) => ({
      ...{ name, grants, tokens: [digest(tokenOf(text))], certificates: [] },
    }));
    const made = await serving.worker('a', { access: { identities: { file: '/none', read: () => identities } } });
    address = made.address;
    await made.worker.start();
    audited = async () => {
      const query = { pipeline: null, sinceMs: 0, pageSize: 1_000, pageToken: null, sees: () => true };
      return (await made.audit.page(query)).items;
    };
    for (const name of ['shop-a', 'billing']) await made.commands.deploy(fakeBundle(name), { dryRun: false });
    await until('both run', () => made.engine.running.length === 2);
  });
  after(() => serving.stop());

  /** A request that names this pipeline wherever the method can be told one. */
  function requestFor(pipeline: string): Record<string, unknown> {
    const filter = { pipeline, kind: 0, operator: '', code: '', numbers: [], sinceMs: 0 };
    return {
      ...{ pipeline, name: pipeline, source: 'orders', to: 'end', stage: 'join-1', partition: 3, number: 7 },
      ...{ operator: 'join-1', keyJson: '"k"', filter, dryRun: true, bundle: fakeBundle(pipeline), pastOnly: true },
    };
  }

  /** The code of the error that it is answered with, or null; of streams by their first answer. */
  async function ask(
    channel: Channel,
    name: MethodName,
    pipeline: string,
  ): Promise<{ code: string | null; text: string }> {
    try {
      // Workers are no pipelines.
      const isOfWorkers = RULES[name].pipeline === undefined && RULES[name].checksLater !== true;
      const request = (isOfWorkers ? { name: 'nobody' } : requestFor(pipeline)) as unknown as Request<typeof name>;
      const { responseStream } = methodSchema(name);
      if (responseStream) for await (const _ of channel.stream(name, request)) break;
      else await channel.call(name, request);
      return { code: null, text: '' };
    } catch (error) {
      if (!isMillraceError(error)) throw error;
      return { code: error.code, text: error.message };
    }
  }

  const named = (name: MethodName) =>
    (RULES[name].pipeline !== undefined && !['ListPipelines', 'PreviewRebalance'].includes(name)) ||
    RULES[name].checksLater === true;

  for (const { text, name: holder } of holders) {
    const [role = '', pattern] = text.split(':');
    test(`${text} may call what is for it, and is told what it lacks`, async () => {
      const channel = new Channel({ address, token: tokenOf(text), timeoutMs: 20_000 });
      serving.onStop(() => channel.close());
      for (const name of METHODS) {
        const mine = [...MAY.open, ...MAY.known, ...(role === 'admin' ? METHODS : (MAY[role as 'read'] ?? []))];
        for (const pipeline of ['shop-a', 'billing']) {
          const isAllowed =
            mine.includes(name) &&
            (pattern === undefined || pipeline === 'shop-a' || !named(name) || MAY.open.includes(name));
          const { code, text } = await ask(channel, name, pipeline);
          assert.equal(code === 'PERMISSION_DENIED', !isAllowed, `${holder} ${name} ${pipeline}: ${code} ${text}`);
          if (isAllowed) continue;
          const needed = Object.entries(MAY).find(([, methods]) => methods.includes(name))![0];
          assert.match(
            text,
            new RegExp(`needs the role ${needed}( for pipeline ${pipeline})?, and ${holder} has ${role}`),
          );
          if (mine.includes(name)) assert.match(text, new RegExp(` for pipeline ${pipeline},`));
        }
      }
    });
  }

  test('and every refusal is in the audit, with who and what', async () => {
    await until('all are written', async () => (await audited()).length > 100);
    const refused = await audited();
    assert.ok(refused.some(one => one.who === 'read' && one.method === 'DeployPipeline'));
    assert.ok(
      refused.some(one => one.who === 'deploy.shop-.' && one.method === 'DeployPipeline' && one.pipeline === 'billing'),
    );
  });

  test('contents of letters take data, beside read', async () => {
    const filter = { pipeline: 'shop-a', kind: 0, operator: '', code: '', numbers: [], sinceMs: 0 };
    const channel = new Channel({ address, token: tokenOf('read') });
    try {
      const request = { filter, pageSize: 0, pageToken: '', content: false };
      assert.equal((await channel.call('ListLetters', request)).letters.length, 1);
      await assert.rejects(channel.call('ListLetters', { ...request, content: true }), (error: Error) =>
        /needs the role data for pipeline shop-a, and read has read/.test(error.message),
      );
    } finally {
      channel.close();
    }
  });

  test('whoever may see some pipelines hears of no others: in lists, tasks, what is missing', async () => {
    const some = serving.client(address, { token: tokenOf('admin:shop-*') });
    assert.deepEqual(
      (await some.list()).map(({ name }) => name),
      ['shop-a'],
    );
    assert.deepEqual([...new Set((await some.tasks()).map(({ pipeline }) => pipeline))], ['shop-a']);
    await assert.rejects(some.get('shop-x'), (error: Error) => /there are: shop-a$/.test(error.message));
    await assert.rejects(some.pause('shop-x'), (error: Error) => /there are: shop-a$/.test(error.message));
    assert.deepEqual(
      (await some.audit()).items.filter(({ pipeline }) => pipeline?.startsWith('shop-') !== true),
      [],
    );
    const all = serving.client(address, { token: tokenOf('read') });
    assert.deepEqual(
      (await all.list()).map(({ name }) => name),
      ['billing', 'shop-a'],
    );
  });
});
