/** What `plan` and `dev` say, and with which exit code `plan` ends: decided from answers alone. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { placeLines } from '../../../cmd/dev.ts';
import { deployedText, incompatibleText, mistakeText, othersText } from '../../../cmd/dev-loop.ts';
import { type Types, typeErrors, typesText } from '../../../cmd/types.ts';
import { endingOfPlan, planText } from '../../../cmd/verbs/plan.ts';
import { MillraceError } from '../../../lib/base/errors.ts';
import type { PlanAnswer } from '../../../lib/service/plan.ts';

const CREATED: PlanAnswer = {
  name: 'orders',
  text: 'pipeline orders',
  summary: {},
  fingerprint: 'f',
  outcome: 'created',
  incompatibilities: [],
  refusals: [],
  notices: [],
  deployed: '',
  differences: [],
};
const DEPLOYED = { deployed: 'revision 3 of orders.ts', differences: ['+ sink totals: a.b', '= state goes on: w'] };

describe('plan', () => {
  const cases: [string, Partial<PlanAnswer>, ReturnType<typeof endingOfPlan>, RegExp][] = [
    ['a new one', {}, 'done', /^pipeline orders\n\na deploy would create it$/],
    [
      'an update',
      { ...DEPLOYED, outcome: 'updated' },
      'done',
      /\n\nagainst revision 3 of orders\.ts\n {2}\+ sink totals: a\.b\n {2}= state goes on: w\n\na deploy would update it/,
    ],
    [
      'the same again',
      { ...DEPLOYED, outcome: 'unchanged' },
      'done',
      /^pipeline orders\n\nthis very bundle is deployed/,
    ],
    ['one whose state is left', { ...DEPLOYED, outcome: 'resumed' }, 'done', /go on from the state that a deleted/],
    [
      'what is there already',
      { notices: ['there are 3 messages'] },
      'done',
      /\n\nthere are 3 messages\n\na deploy would/,
    ],
    [
      'state that cannot be read',
      { ...DEPLOYED, outcome: 'incompatible', incompatibilities: ['stage a is gone'] },
      'refused',
      /would be refused:\n {2}- stage a is gone\nto begin anew, .*: millrace delete orders --purge, then deploy$/,
    ],
    ['subjects of others', { refusals: ['so does b'] }, 'refused', /would be refused:\n {2}- so does b$/],
    [
      'a delete under way',
      { ...DEPLOYED, outcome: 'resumed', refusals: ['being deleted'] },
      'refused',
      /- being deleted$/,
    ],
  ];
  for (const [what, changes, ending, text] of cases) {
    test(`of ${what} says so, and ends as a deploy would: ${ending}`, () => {
      const answer = { ...CREATED, ...changes };
      assert.equal(endingOfPlan(answer), ending);
      assert.match(planText(answer), text);
      assert.equal(/a deploy would be refused/.test(planText(answer)), ending === 'refused');
    });
  }
});

describe('dev', () => {
  test('offers to begin anew where state cannot be read, by a key or by a flag', () => {
    const answer = { name: 'orders', deployed: 'revision 3 of orders.ts', incompatibilities: ['stage a is gone'] };
    const asked = incompatibleText(answer, { keys: true });
    assert.match(asked, /^orders is not updated: .*\n {2}- stage a is gone\n.*revision 3 of orders\.ts.*\n.* press n$/);
    assert.match(incompatibleText(answer, { keys: false }), /start with: millrace dev FILE --reset$/);
  });

  test('says what else of this session runs, after a pipeline got another name', () => {
    const names = new Set(['orders', 'sales', 'gone']);
    const running = [{ name: 'orders' }, { name: 'sales' }, { name: 'of-others' }];
    assert.equal(othersText('sales', { names, running }), 'pipeline orders still runs: millrace delete orders');
    assert.equal(othersText('sales', { names, running: [{ name: 'sales' }] }), null);
  });

  test('says where metrics are when their port is taken', () => {
    const quiet = { listen: '127.0.0.1:4280', address: '127.0.0.1:4280', elsewhere: null, broker: null };
    const metrics = { address: '127.0.0.1:4281', orAnyPort: true };
    assert.deepEqual(placeLines({ ...quiet, metrics, metricsAt: '127.0.0.1:4281' }), []);
    assert.deepEqual(placeLines({ ...quiet, metrics: 'off', metricsAt: null }), []);
    assert.deepEqual(placeLines({ ...quiet, metrics, metricsAt: '127.0.0.1:50123' }), [
      '127.0.0.1:4281 is taken, so metrics are at http://127.0.0.1:50123/metrics',
    ]);
  });

  test('says with a mistake what becomes of what was deployed', () => {
    const mistake = new MillraceError('PLAN_INVALID', 'no');
    assert.equal(mistakeText(mistake, { name: null }), 'error: no\nsave the file to try again');
    assert.equal(mistakeText(mistake, { name: 'orders' }), 'error: no\norders goes on as it was deployed');
    const away = new MillraceError('WORKER_UNAVAILABLE', 'away');
    assert.equal(mistakeText(away, { name: 'orders' }), 'error: away', 'who knows');
  });

  test('reads the errors of TypeScript, of whatever version, without those of packages', () => {
    const out = [
      "src/a.ts(7,28): error TS2551: Property 'amont' does not exist.",
      '  Did you mean this?',
      'node_modules/some/index.ts(1,1): error TS1: not ours',
      '  nor is this',
      'error TS5112: tsconfig.json is present.',
      '',
    ].join('\r\n');
    assert.deepEqual(typeErrors(out), [
      "src/a.ts:7:28: TS2551: Property 'amont' does not exist.\n  Did you mean this?",
      'TS5112: tsconfig.json is present.',
    ]);
    assert.deepEqual(typeErrors(''), []);
  });

  test('says of types what is news', () => {
    const wrong: Types = { kind: 'checked', errors: ['a.ts:1:2: no\n  why'] };
    const right: Types = { kind: 'checked', errors: [] };
    assert.match(typesText(null, wrong) ?? '', /^wrong types.*:\n {2}a\.ts:1:2: no\n {4}why$/);
    assert.equal(typesText(wrong, right), 'types are right again');
    assert.equal(typesText(right, right), null);
    assert.equal(typesText(null, right), null);
    assert.match(typesText(null, { kind: 'missing' }) ?? '', /not checked: .* npm install --save-dev typescript$/);
    assert.equal(typesText({ kind: 'missing' }, { kind: 'missing' }), null);
    assert.equal(typesText(wrong, { kind: 'unchecked' }), null);
    const many: Types = { kind: 'checked', errors: Array.from({ length: 12 }, (_, n) => `a.ts:${n}:1: no`) };
    assert.match(typesText(null, many) ?? '', /… and 2 more$/);
  });
});

test('dev says what a deploy has noticed, once however often the file is saved', () => {
  const told = new Set<string>();
  const say = (revision: number, ...notices: string[]) =>
    deployedText({ name: 'orders', revision, outcome: 'updated', notices }, { differences: ['~ code'], told });
  assert.equal(say(2, 'a is made', 'b keeps 1h'), 'orders updated (revision 2)\n  ~ code\n  a is made\n  b keeps 1h');
  assert.equal(say(3, 'b keeps 1h', 'c'), 'orders updated (revision 3)\n  ~ code\n  c');
});
