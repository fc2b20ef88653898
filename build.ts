/**
 * The build: from the sources to what the package holds, in `dist/`. JavaScript by esbuild, declarations by tsc.
 *
 * All entry points are built together with splitting, so that each module of lib is in one file only: `millrace`,
 * `millrace/testing`, `millrace/client` and the command share one instance of it. All files lie in one folder, which
 * `topology/graph.ts` relies on to tell our stack frames from the author's. Nothing is minified and no source maps are
 * shipped: what a stack trace shows can be read as it is.
 *
 * With a folder as argument it makes the JavaScript alone, there: `npm test` runs it, for processes that start in a third of
 * the time that the sources take.
 *
 * Dependencies are not bundled. It would save the command another 0.1 s, but some of them read files beside themselves,
 * and nobody could patch them.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('.', import.meta.url));
const OUT = join(ROOT, 'dist');
/** What becomes `dist`, once it is whole. */
const PARTIAL = join(ROOT, `.dist-${process.pid}`);

/** What can be imported, by the name of its file in `dist`. */
const LIBRARY = { index: 'lib/index.ts', testing: 'lib/testing.ts', client: 'lib/client.ts' };

/** Programs: what the launchers in `cmd` start, by the launcher's name. */
const PROGRAMS: Readonly<Record<string, string>> = Object.fromEntries(
  readdirSync(join(ROOT, 'cmd'))
    .filter(file => file.endsWith('.mjs'))
    .map(file => [file.slice(0, -4), `cmd/${file.slice(0, -4)}.ts`]),
);

async function javascript(outdir: string): Promise<void> {
  await build({
    absWorkingDir: ROOT,
    entryPoints: { ...LIBRARY, ...PROGRAMS },
    outdir,
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
  });
}

/** Declarations keep the folders of lib; those that no entry point leads to are dropped. */
function declarations(): void {
  const types = join(PARTIAL, 'types');
  const compiler = join(ROOT, 'node_modules', '.bin', 'tsc');
  execFileSync(compiler, ['--project', join(ROOT, 'tsconfig.build.json'), '--outDir', types], { stdio: 'inherit' });
  const reached = new Set<string>();
  const follow = (file: string): void => {
    if (reached.has(file)) return;
    reached.add(file);
    const text = readFileSync(file, 'utf8').replace(
      /((?:from|import\()\s*)(['"])(\.{1,2}\/[^'"]+)\.ts\2/g,
      (_, before: string, quote: string, path: string) => {
        follow(join(dirname(file), `${path}.d.ts`));
        return `${before}${quote}${path}.js${quote}`;
      },
    );
    writeFileSync(file, text);
  };
  for (const entry of Object.values(LIBRARY)) follow(join(types, entry.replace(/\.ts$/, '.d.ts')));
  for (const entry of readdirSync(types, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (entry.isFile() && !reached.has(file)) rmSync(file);
  }
}

interface Locked {
  readonly version: string;
  readonly integrity: string;
  readonly license: string;
  readonly dev?: boolean;
}

/**
 * What the package needs, with licences and hashes, for scanners: CycloneDX 1.5, from the lockfile. (`npm sbom` leaves out
 * a package that one of the development's needs as well.)
 */
function materials(): void {
  const read = (file: string) => JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as unknown;
  const { name, version, license } = read('package.json') as { name: string; version: string; license: string };
  const { packages } = read('package-lock.json') as { packages: Readonly<Record<string, Locked>> };
  const components = Object.entries(packages)
    .filter(([path, { dev }]) => path !== '' && dev !== true)
    .map(([path, locked]) => {
      const [algorithm, hash] = locked.integrity.split('-') as [string, string];
      const alg = algorithm.replace('sha', 'SHA-');
      return {
        ...component(path.slice(path.lastIndexOf('node_modules/') + 13), locked.version, locked.license),
        'bom-ref': path,
        hashes: [{ alg, content: Buffer.from(hash, 'base64').toString('hex') }],
      };
    });
  const metadata = { component: component(name, version, license) };
  const bom = { bomFormat: 'CycloneDX', specVersion: '1.5', version: 1, metadata, components };
  writeFileSync(join(PARTIAL, 'sbom.cdx.json'), `${JSON.stringify(bom, null, 2)}\n`);
}

function component(name: string, version: string, license: string) {
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  return { type: 'library', name, version, licenses: [{ expression: license }], purl };
}

async function all(): Promise<void> {
  rmSync(PARTIAL, { recursive: true, force: true });
  mkdirSync(PARTIAL);
  try {
    await javascript(PARTIAL);
    declarations();
    materials();
    if (existsSync(OUT)) rmSync(OUT, { recursive: true });
    renameSync(PARTIAL, OUT);
  } finally {
    rmSync(PARTIAL, { recursive: true, force: true });
  }
}

const elsewhere = process.argv[2];
await (elsewhere === undefined ? all() : javascript(elsewhere));
