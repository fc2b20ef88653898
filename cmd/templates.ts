/**
 * The files of a new project, for `millrace init`: a pipeline, a test of it without a broker, and what runs them.
 */
export interface Project {
  /** Name of the package. */
  readonly name: string;
  readonly language: 'ts' | 'js';
  /** Where npm finds the library: a range of versions, or `file:` and the path of a packed one. */
  readonly library: string;
}

/** Paths below the project's folder, each with its text. */
export function filesOf(project: Project): ReadonlyMap<string, string> {
  const { language } = project;
  const files = new Map([
    ['package.json', packageJson(project)],
    [`src/pipeline.${language}`, pipeline(language)],
    [`test/pipeline.test.${language}`, testOf(language)],
    ['README.md', readme(project)],
    ['.gitignore', 'node_modules/\n.millrace/\ndeploy-keys.pem\n'],
  ]);
  if (language === 'ts') files.set('tsconfig.json', TSCONFIG);
  return files;
}

function packageJson({ name, language, library }: Project): string {
  const test =
    language === 'ts' ? 'node --import tsx --test test/pipeline.test.ts' : 'node --test test/pipeline.test.js';
  const json = {
    name,
    private: true,
    type: 'module',
    scripts: {
      dev: `millrace dev src/pipeline.${language}`,
      test,
      ...(language === 'ts' ? { types: 'tsc --noEmit' } : {}),
      plan: `millrace plan src/pipeline.${language}`,
      deploy: `millrace deploy src/pipeline.${language}`,
    },
    dependencies: { millrace: library },
    ...(language === 'ts'
      ? { devDependencies: { '@types/node': '^20.19.0', tsx: '^4.20.0', typescript: '^5.9.0' } }
      : {}),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

const TSCONFIG = `{
  "compilerOptions": {
    "target": "es2022",
    "lib": ["es2023"],
    "module": "nodenext",
    "moduleResolution": "nodenext",
    "types": ["node"],
    "strict": true,
    "noEmit": true,
    "skipLibCheck": true,
    "allowImportingTsExtensions": true
  },
  "include": ["src", "test"]
}
`;

function pipeline(language: 'ts' | 'js'): string {
  const typed = language === 'ts';
  return `import { count, pipeline, sum, tumbling } from 'millrace';

${typed ? 'export type Order = { id: string; site: string; amount: number; at: string };\n' : '/** @typedef {{ id: string, site: string, amount: number, at: string }} Order */\n'}
/**
 * Orders come at least once, from several services; each counts once. Sums of every hour for each site: a row whenever one
 * changes; with \`emit: 'final'\` one row, when the hour is over.
 */
export default pipeline('orders', ({ from }) => {
  const orders = from${typed ? '<Order>' : ''}('shop.order', { time: 'at', maxOutOfOrder: '10m', capture: true })
    .dedupe({ id: order => order.id, within: '1d' })
    .filter(order => order.amount > 0);
  orders
    .keyBy('site')
    .window(tumbling('1h'), { emit: 'updates' })
    .aggregate({ orders: count(), amount: sum(order => order.amount) })
    .to('analytics.orders.{site}');
});
`;
}

function testOf(language: 'ts' | 'js'): string {
  return `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPipeline } from 'millrace/testing';
import orders from '../src/pipeline.${language}';

test('an order that comes twice counts once', () => {
  const driver = testPipeline(orders);
  const order = { id: 'o1', site: 'berlin', amount: 5, at: '2026-03-01T08:10:00Z' };
  driver.push('shop.order', order);
  assert.equal(driver.read('analytics.orders.berlin').length, 1, 'a sum is there at once');
  driver.push('shop.order', order);
  driver.push('shop.order', { ...order, id: 'o2', amount: 7, at: '2026-03-01T08:50:00Z' });
  driver.finish();
  assert.deepEqual(driver.dead(), []);
  const row = driver.read${language === 'ts' ? '<{ orders: number; amount: number }>' : ''}('analytics.orders.berlin').at(-1);
  assert.equal(row?.value.orders, 2);
  assert.equal(row?.value.amount, 12);
});
`;
}

function readme({ name, language }: Project): string {
  return `# ${name}

A pipeline of Millrace, the stream processor for NATS: [src/pipeline.${language}](src/pipeline.${language}).

    npm install
    npm test
    npm run dev

\`dev\` starts a broker and a worker of its own and deploys the pipeline again whenever it is saved. In another terminal:

    nats pub shop.order '{"id":"o1","site":"berlin","amount":5,"at":"2026-03-01T08:10:00Z"}'

and its row is on the screen of \`dev\` at once. \`npx millrace get\`, run in this folder, asks that worker. The stream that
\`capture: true\` makes keeps orders for 7 days, at most 1 GiB: \`capture: { maxAge: '30d', maxBytes: 10e9 }\` keeps more.

To deploy to a cluster: \`npx millrace config set-context prod --server HOST:4280\`, then \`npm run deploy\`. All commands
go there from then on, and say so while \`dev\` runs here.
`;
}
