/**
 * The package as `npm pack` makes it: unpacked beside its dependencies in a project of somebody else, the command runs,
 * and a pipeline type-checks with the compiler settings that the README asks for.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { projectFiles, root, textOf } from './texts.ts';

const execute = promisify(execFile);
const SETTINGS = {
  module: 'nodenext',
  target: 'es2022',
  lib: ['es2023'],
  types: ['node'],
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  allowImportingTsExtensions: true,
};

let folder = '';
let project = '';
let packed: string[] = [];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-package-'));
  project = join(folder, 'project');
  const modules = join(project, 'node_modules');
  mkdirSync(modules, { recursive: true });
  const flags = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const { stdout } = await execute('npm', flags, { cwd: root });
  const [made] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  packed = made.files.map(file => file.path);
  await execute('tar', ['-xzf', join(folder, made.filename), '-C', folder]);
  await execute('mv', [join(folder, 'package'), join(modules, 'millrace')]);
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== 'millrace') symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
  writeFileSync(join(project, 'package.json'), '{"name":"somebody","private":true,"type":"module"}');
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: SETTINGS, include: ['*.ts'] }));
  writeFileSync(join(project, 'onboarding.ts'), textOf('test/examples/01-onboarding/onboarding.ts'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe('the package', () => {
  test('holds the programs, the engine, the interface and the words, and nothing else', () => {
    const wanted = projectFiles().filter(file =>
      /^((cmd|lib|proto)\/.*|package\.json|README\.md|CHANGELOG\.md|LICENSE)$/.test(file),
    );
    assert.deepEqual(packed.toSorted(), wanted);
  });

  test('has a command that runs where it is installed', async () => {
    const launcher = join(project, 'node_modules', 'millrace', 'cmd', 'millrace.mjs');
    const { stdout } = await execute(process.execPath, [launcher, '--version'], { cwd: project });
    assert.equal(stdout.trim(), (JSON.parse(textOf('package.json')) as { version: string }).version);
    const asked = execute(process.execPath, [launcher, 'plan', 'onboarding.ts', '--server', '127.0.0.1:1'], {
      cwd: project,
    });
    await assert.rejects(
      asked,
      /no worker answers at 127\.0\.0\.1:1/,
      'the pipeline is bundled before anybody is asked',
    );
  });

  test('type-checks a pipeline with the settings that the README names', async () => {
    const compiler = join(root, 'node_modules', '.bin', 'tsc');
    const checked = execute(compiler, ['--project', project]).catch((error: { stdout: string }) => error);
    assert.equal((await checked).stdout, '');
    const limits = /To type-check[\s\S]*?\n(?=- )/.exec(textOf('README.md'))?.[0] ?? '';
    for (const setting of ['allowImportingTsExtensions', 'noEmit', 'es2023']) assert.ok(limits.includes(setting));
  });
});
