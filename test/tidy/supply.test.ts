/** What the project is built from: the lockfile pins it by hash for every platform, and its licences are those that we may use. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { textOf } from './texts.ts';

interface Locked {
  readonly version: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** Permissive: nothing is asked of those who use the package but to keep the notice. SPDX. */
const ALLOWED = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0', 'ISC', 'MIT', 'Unlicense'];

const { packages } = JSON.parse(textOf('package-lock.json')) as { packages: Readonly<Record<string, Locked>> };
const locked = Object.entries(packages).filter(([path]) => path !== '');

describe('the lockfile', () => {
  test('has a hash of every package, also of those for other platforms', () => {
    assert.ok(locked.length > 100);
    const without = locked.filter(([, { integrity = '' }]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity));
    assert.deepEqual(
      without.map(([path]) => path),
      [],
    );
  });

  test('has the packages of every platform, wherever it was made', () => {
    const missing = locked.flatMap(([, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(name => !(`node_modules/${name}` in packages)),
    );
    assert.deepEqual(missing, []);
  });

  test('has licences that we may use', () => {
    // One of several that are offered is enough.
    const isAllowed = (license: string) =>
      license
        .replace(/[()]/g, '')
        .split(' OR ')
        .some(one => ALLOWED.includes(one));
    const others = locked.filter(([, { license = 'none' }]) => !isAllowed(license));
    assert.deepEqual(
      others.map(([path, { license }]) => [path, license]),
      [],
    );
  });
});
