import assert from 'node:assert/strict';

import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inputsOf } from '../../../cmd/inputs.ts';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { placedMessageOf, placeOf } from '../../../lib/base/place.ts';
import { bundlePipeline, hashOf } from '../../../lib/bundle/bundle.ts';
import { loadBundle } from '../../../lib/bundle/load.ts';
import { isPipeline, Pipeline } from '../../../lib/index.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-bundle-test-'));
});
after(() => rm(folder, { recursive: true, force: true }));

let projects = 0;

/** A project with these files; returns its folder. */
async function project(files: Record<string, string>): Promise<string> {
  const root = join(folder, `project-${projects++}`);
  for (const [name, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), text);
  }
  return root;
}

async function bundled(text: string, more: Record<string, string> = {}) {
  return bundlePipeline(join(await project({ 'p.ts': text, ...more }), 'p.ts'));
}

async function loaded(text: string, more: Record<string, string> = {}) {
  return loadBundle(await bundled(text, more), { dir: join(folder, 'bundles'), isPipeline });
}

function invalid(...texts: RegExp[]) {
  return (error: unknown) => {
    assert.ok(isMillraceError(error, 'PLAN_INVALID'), String(error));
    for (const text of texts) assert.match(error.message, text);
    assert.doesNotMatch(error.message, new RegExp(folder), 'paths of the worker are of no use to the author');
    return true;
  };
}

const GOOD = `import { pipeline } from 'millrace';
export default pipeline('good', ({ from }) => { from('a.b').to('c.d'); });
`;

describe('bundlePipeline', () => {
  test('takes everything along but Millrace, and strips types', async () => {
    const bundle = await bundled(
      `import { pipeline } from 'millrace';
import { helper } from './lib/helper.ts';
import cjs from 'old-package';
import type { Missing } from './nowhere.ts';
const x: number = helper(1);
export default pipeline('p' + x + cjs.two, ({ from }) => { from('a.b').to('c.d'); });
export type Y = Missing;
`,
      {
        'lib/helper.ts': 'export const helper = (a: number): number => a + 1;',
        'node_modules/old-package/package.json': '{"main":"index.js"}',
        'node_modules/old-package/index.js': "const path = require('node:path'); module.exports = { two: path.sep };",
      },
    );
    const code = Buffer.from(bundle.code).toString();
    assert.match(code, /a \+ 1/);
    assert.match(code, /require\("node:path"\)/);
    assert.doesNotMatch(code, /class KeyedStream/);
    assert.doesNotMatch(code.split('//# sourceMappingURL')[0]!, new RegExp(folder));
    assert.equal(bundle.hash, hashOf(bundle.code));
    assert.equal(bundle.file, 'p.ts');
    assert.equal((await loadBundle(bundle, { dir: join(folder, 'bundles'), isPipeline })).name, 'p2/');
  });

  test('takes along the definitions that its code names, with what they import', async () => {
    const files = {
      'proto/order.proto':
        'syntax = "proto3"; import "proto/money.proto"; import "google/protobuf/timestamp.proto";\n' +
        'message Order { Money total = 1; google.protobuf.Timestamp at = 2; }',
      'proto/money.proto': 'syntax = "proto3"; message Money { int64 cents = 1; }',
      'formats/order.ts': `import { protobuf } from 'millrace';
export const orders = protobuf({ type: 'Order', file: 'proto/order.proto' });
export const beside = () => protobuf({ type: 'Order', file: '../proto/order.proto' });
export const nothing = ['nowhere.proto'];`,
    };
    const text = `import { pipeline } from 'millrace';
import { beside, orders } from './formats/order.ts';
const seen: unknown[] = [];
for (const format of [orders, beside()]) {
  format.decode({ data: Buffer.from('0a020805', 'hex'), headers: null, subject: '' }, seen, part => { throw part.cause; });
}
export default pipeline(seen.map(order => order.total.cents).join('-'), ({ from }) => { from('a.b').to('c.d'); });
`;
    const root = await project({ 'p.ts': text, ...files });
    const bundle = await bundlePipeline(join(root, 'p.ts'));
    assert.deepEqual((await bundled(text, files)).hash, bundle.hash);
    assert.ok(inputsOf(bundle, join(root, 'p.ts')).includes(join(root, 'proto/order.proto')), 'a save is seen');
    await rm(root, { recursive: true });
    assert.equal((await loadBundle(bundle, { dir: join(folder, 'bundles'), isPipeline })).name, '5-5');
    await assert.rejects(
      bundled(text, { ...files, 'proto/money.proto': 'message {' }),
      invalid(/^proto\/order\.proto.*illegal/),
    );
  });

  test('is the same wherever the project lies, and another when a byte changes', async () => {
    const [a, b] = [await bundled(GOOD), await bundled(GOOD)];
    assert.equal(a.hash, b.hash);
    assert.notEqual((await bundled(GOOD.replace('a.b', 'a.c'))).hash, a.hash);
  });

  test('shows syntax errors with file, line and the line itself', async () => {
    await assert.rejects(
      bundled("import { pipeline } from 'millrace';\nconst x = ;\n"),
      invalid(/^p\.ts:2:11: .*\n {4}const x = ;$/),
    );
  });

  test('shows all mistakes, also those in imported files', async () => {
    await assert.rejects(
      bundled("import './a.ts';\nimport './b.ts';\n", { 'a.ts': 'let 1;', 'b.ts': '}' }),
      invalid(/^a\.ts:1:5: /m, /^b\.ts:1:1: /m),
    );
  });

  test('names what is missing: a package, a file, an export of millrace', async () => {
    await assert.rejects(
      bundled("import { z } from 'nowhere-to-be-found';\nz;"),
      invalid(/^p\.ts:1:19: the package "nowhere-to-be-found" is not installed; run: npm install nowhere-to-be-found$/),
    );
    await assert.rejects(
      bundled("import { z } from './gone.ts';\nz;"),
      invalid(/^p\.ts:1:19: Could not resolve "\.\/gone\.ts"/),
    );
    await assert.rejects(
      bundled("import { Tumbling } from 'millrace';\nTumbling;"),
      invalid(/^p\.ts:1:10: millrace exports no "Tumbling"; did you mean tumbling\?$/),
    );
    await assert.rejects(
      bundled("import { zzz } from 'millrace';\nzzz;"),
      invalid(/millrace exports no "zzz"; it has: .*pipeline/),
    );
    await assert.rejects(
      bundled("import millrace from 'millrace';\nmillrace;"),
      invalid(/import \{ pipeline \} from 'millrace'/),
    );
    await assert.rejects(
      bundled("import { x } from 'millrace/lib/base';\nx;"),
      invalid(/millrace\/lib\/base is not for pipelines; import from 'millrace'/),
    );
  });

  test('a path that leads nowhere, or to a folder, is told as such', async () => {
    await assert.rejects(bundlePipeline(join(folder, 'gone.ts')), (error: unknown) =>
      isMillraceError(error, 'NOT_FOUND'),
    );
    await assert.rejects(bundlePipeline(folder), (error: unknown) => isMillraceError(error, 'INVALID_ARGUMENT'));
  });
});

describe('loadBundle', () => {
  test('gives the pipeline, of the very class that this process knows', async () => {
    const pipeline = await loaded(GOOD);
    assert.equal(pipeline.name, 'good');
    assert.ok(pipeline instanceof Pipeline);
  });

  test('loads a module once, whoever asks for it meanwhile or later, and leaves no file', async () => {
    const bundle = await bundled(GOOD);
    const dir = join(folder, 'once');
    const load = () => loadBundle(bundle, { dir, isPipeline });
    const [first, ...others] = await Promise.all([load(), load(), load()]);
    others.push(await load());
    for (const other of others) assert.equal(other, first);
    assert.deepEqual(await readdir(dir), []);
  });

  test('refuses code that is not what its hash says', async () => {
    const bundle = { ...(await bundled(GOOD)), hash: 'f'.repeat(64) };
    await assert.rejects(
      loadBundle(bundle, { dir: folder, isPipeline }),
      (error: unknown) => isMillraceError(error, 'INVALID_ARGUMENT') && /does not match its hash/.test(error.message),
    );
  });

  test('says what the default export should be when it is missing or something else', async () => {
    const hint = /write: export default pipeline\('name'/;
    await assert.rejects(loaded('export const x = 1;'), invalid(/^p\.ts has no default export/, hint));
    await assert.rejects(loaded('export default 42;'), invalid(/exports a value of type number, not a pipeline/, hint));
    await assert.rejects(loaded('export default null;'), invalid(/exports null/, hint));
    await assert.rejects(loaded('export default [];'), invalid(/exports an array/, hint));
    await assert.rejects(loaded('export default Promise.resolve(1);'), invalid(/exports a promise/, hint));
  });

  test('points at the line of the author that threw', async () => {
    const text = `import { pipeline } from 'millrace';
interface A { b: string }
export default pipeline('p', ({ from }) => {
  const a = undefined as unknown as A;
  from(a.b).to('c.d');
});
`;
    await assert.rejects(
      loaded(text),
      invalid(/^p\.ts:5:\d+: failed while it was loaded: Cannot read properties of undefined/),
    );
  });

  test('points into an imported file as well, and takes anything that is thrown', async () => {
    await assert.rejects(
      loaded("import './steps/inner.ts';\n", { 'steps/inner.ts': '\n\nthrow new Error("no luck");' }),
      invalid(/^steps\/inner\.ts:3:\d+: failed while it was loaded: no luck$/),
    );
    await assert.rejects(loaded("throw 'just text';"), invalid(/^p\.ts failed while it was loaded: just text$/));
  });

  test('lets a function of the author be blamed by file and line when it throws later', async () => {
    const inner = `
interface Order { price: { net: number } }
export function netOf(order: Order): number {
  return order.price.net;
}
`;
    const text = `import { pipeline } from 'millrace';
import { valid } from 'checks';
import { netOf } from './steps/price.ts';
export default pipeline('p', ({ from }) => {
  from<{ price: { net: number } }>('a.b')
    .map(order => netOf(order))
    .map(() => valid())
    .to('c.d');
});
`;
    const pipeline = await loaded(text, {
      'steps/price.ts': inner,
      'node_modules/checks/package.json': '{"type":"module","main":"index.js"}',
      'node_modules/checks/index.js': 'export function valid() { throw new Error("not valid"); }',
    });
    const thrown = pipeline.graph.nodes.flatMap(node => {
      if (node.kind !== 'stateless' || node.spec.kind !== 'map') return [];
      try {
        return [node.spec.fn({})];
      } catch (error) {
        return [placedMessageOf(error)];
      }
    });
    assert.equal(thrown.length, 2);
    assert.match(String(thrown[0]), /^steps\/price\.ts:4:\d+: Cannot read properties of undefined \(reading 'net'\)$/);
    assert.match(String(thrown[1]), /^p\.ts:7:\d+: not valid$/, 'the call of a package, not the inside of it');
  });

  test('knows no place of what was thrown elsewhere, or is no error', () => {
    assert.equal(placeOf(new Error('here')), null);
    assert.equal(placedMessageOf('just text'), 'just text');
  });
});
