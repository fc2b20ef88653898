/**
 * The test runner: finds every `*.test.ts` under `test/` and runs it with node's own runner, a process a file.
 * `npm test -- chain window` runs only the files whose path contains one of the words.
 * Fails when no test ran: a runner that finds nothing must not look like a green one.
 *
 * Tests start `nats-server` from the PATH. On a machine without one it is found or fetched here, as the demo does, and put
 * first on the PATH of the test processes.
 */
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { findBroker } from './rig/broker.ts';

const root = fileURLToPath(new URL('.', import.meta.url));
const words = process.argv.slice(2);
const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.test.ts') && (words.length === 0 || words.some(word => file.includes(word))))
  .sort()
  .map(file => root + file);

if (files.length === 0) {
  console.error(`no test file under ${root} matches: ${words.join(' ') || '*.test.ts'}`);
  process.exit(1);
}

const { binary } = await findBroker(line => console.log(line));
const bin = mkdtempSync(join(tmpdir(), 'millrace-bin-'));
symlinkSync(binary, join(bin, 'nats-server'));
process.env.PATH = bin + delimiter + process.env.PATH;
process.on('exit', () => rmSync(bin, { recursive: true }));

let passed = 0;
let failed = 0;
const stream = run({ files, concurrency: availableParallelism(), timeout: 600_000 });
stream.on('test:pass', event => {
  if (event.details.type !== 'suite') passed++;
});
stream.on('test:fail', event => {
  if (event.details.type !== 'suite') failed++;
});
stream.compose(new spec()).pipe(process.stdout);
stream.on('end', () => {
  if (passed === 0) console.error('no test ran');
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
});
