/**
 * The test runner: finds every `*.test.ts` under `test/` and runs it with node's own runner, a process a file.
 * `npm test -- chain window` runs only the files whose path contains one of the words; `npm test -- --quick` what needs
 * neither a broker nor a program that was built.
 * Fails when no test ran: a runner that finds nothing must not look like a green one.
 *
 * Tests start `nats-server` from the PATH. On a machine without one it is found or fetched here, as the demo does, and put
 * first on the PATH of the test processes. The `millrace` that they start is built here.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, join, relative, sep } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { findBroker } from './rig/broker.ts';
import { buildProgram } from './rig/launcher.ts';

/** In this order: files that take minutes first, and last the many that take seconds, so that no process waits for another. */
const SUITES = 'sim tidy system examples demo chaos package bench contract fuzz types unit'.split(' ');

const root = fileURLToPath(new URL('.', import.meta.url));
/** They start no broker, which `tidy` holds. */
const QUICK = ['fuzz', 'types', 'unit'];

const isQuick = process.argv[2] === '--quick';
const words = process.argv.slice(isQuick ? 3 : 2);
const suiteOf = (file: string) => SUITES.indexOf(file.split(sep)[0]!);
const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.test.ts') && (words.length === 0 || words.some(word => file.includes(word))))
  .filter(file => !isQuick || QUICK.includes(SUITES[suiteOf(file)]!))
  .sort((a, b) => suiteOf(a) - suiteOf(b) || (a < b ? -1 : 1));

const homeless = files.filter(file => suiteOf(file) < 0);
if (homeless.length > 0) {
  console.error(`test/run.ts does not know when to run ${homeless.join(', ')}`);
  process.exit(1);
}

if (files.length === 0) {
  console.error(`no test file under ${root} matches: ${words.join(' ') || '*.test.ts'}`);
  process.exit(1);
}

if (!isQuick) await prepare();

let passed = 0;
let failed = 0;
const paths = files.map(file => root + file);
// One more than there are cores: many tests wait for something half of their time.
const stream = run({ files: paths, concurrency: availableParallelism() + 1, timeout: 600_000 });
stream.on('test:pass', event => {
  if (event.details.type !== 'suite') passed++;
});
stream.on('test:fail', event => {
  if (event.details.type !== 'suite') failed++;
});
const took: [file: string, ms: number][] = [];
stream.on('test:complete', ({ name, details }) => {
  if (paths.includes(name)) took.push([relative(root, name), details.duration_ms]);
});
const report = stream.compose(new spec());
report.pipe(process.stdout);
report.on('end', () => {
  if (passed === 0) console.error('no test ran');
  console.log('slowest files:');
  for (const [file, ms] of took.sort(([, a], [, b]) => b - a).slice(0, 20)) {
    console.log(`  ${(ms / 1000).toFixed(1).padStart(6)} s  ${file}`);
  }
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
});

/** Puts a broker on the PATH, and builds the program that tests start. */
async function prepare(): Promise<void> {
  const { binary } = await findBroker(line => console.log(line));
  const made = mkdtempSync(join(tmpdir(), 'millrace-test-'));
  process.on('exit', () => rmSync(made, { recursive: true }));
  const bin = join(made, 'bin');
  mkdirSync(bin);
  symlinkSync(binary, join(bin, 'nats-server'));
  process.env.PATH = bin + delimiter + process.env.PATH;
  buildProgram(join(made, 'millrace'));
}
