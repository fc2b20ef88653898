/**
 * The house rules that a machine can check: every room imports only rooms on lower floors, files import in no circle,
 * and what belongs to one room alone is imported nowhere else.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** From the ground up. Rooms of one floor do not know each other. */
const FLOORS: readonly (readonly string[])[] = [
  ['lib/base'],
  ['lib/port', 'lib/change'],
  ['lib/record'],
  ['lib/observe', 'lib/window', 'lib/state'],
  ['lib/nats', 'lib/level', 'lib/memory', 'lib/chain'],
  ['lib/operator', 'lib/journal'],
  ['lib/source', 'lib/channel'],
  ['lib/outlet'],
  ['lib/router'],
  ['lib/topology', 'lib/replica'],
  ['lib/savepoint'],
  ['lib/task'],
  ['lib/engine', 'lib/cluster', 'lib/bundle'],
  ['lib/seam', 'lib/tester'],
  ['lib/host'],
  ['lib/service'],
  ['lib/control'],
  ['lib'],
  ['cmd'],
];

/** Packages that one room has to itself, so that another can take their place. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  nats: ['lib/nats'],
  level: ['lib/level'],
  'classic-level': ['lib/level'],
  msgpackr: ['lib/record'],
  protobufjs: ['lib/record', 'lib/control'],
  '@grpc/grpc-js': ['lib/control'],
  '@grpc/proto-loader': ['lib/control'],
  '@grpc/reflection': ['lib/control'],
  'grpc-health-check': ['lib/control'],
  pino: ['lib/observe'],
  'prom-client': ['lib/observe'],
  '@opentelemetry/api': ['lib/observe'],
  '@opentelemetry/sdk-trace-base': ['lib/observe'],
  commander: ['cmd'],
};

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function filesUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts'))
    .map(file => `${folder}/${file}`);
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = text.matchAll(/^(?:import|export)\s(type\s)?[^;'"]*?from\s+'([^']+)'|^import\s+'([^']+)'/gm);
  return Array.from(found, match => {
    const to = match[2] ?? match[3] ?? '';
    const resolved = to.startsWith('.') ? relative(root, join(root, dirname(file), to)) : to;
    return { from: file, to: resolved, typeOnly: match[1] !== undefined };
  });
}

/** All of `cmd` is one room, whatever its folders. */
const roomOf = (file: string) => (file.startsWith('cmd/') ? 'cmd' : dirname(file).split('/').slice(0, 2).join('/'));
const floorOf = (room: string) => FLOORS.findIndex(rooms => rooms.includes(room));
const files = [...filesUnder('lib'), ...filesUnder('cmd')];
const imports = files.flatMap(importsOf);

describe('the house', () => {
  test('has files in it', () => {
    assert.ok(files.length > 50, `only ${files.length} files found`);
    assert.ok(imports.length > 100, `only ${imports.length} imports found`);
  });

  test('has no room that is on no floor', () => {
    assert.deepEqual(
      [...new Set(files.map(roomOf))].filter(room => floorOf(room) < 0),
      [],
    );
  });

  test('imports only from lower floors, or from its own room', () => {
    const wrong = imports
      .filter(({ from, to }) => to.endsWith('.ts') && roomOf(from) !== roomOf(to))
      .filter(({ from, to }) => floorOf(roomOf(to)) >= floorOf(roomOf(from)))
      .map(({ from, to }) => `${from} → ${to}`);
    assert.deepEqual(wrong, []);
  });

  test('imports in no circle', () => {
    const next = new Map<string, string[]>();
    for (const { from, to, typeOnly } of imports) {
      if (!typeOnly && to.endsWith('.ts')) next.set(from, [...(next.get(from) ?? []), to]);
    }
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      assert.ok(!path.includes(file), `a circle: ${[...path.slice(path.indexOf(file)), file].join(' → ')}`);
      if (done.has(file)) return;
      for (const target of next.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
  });

  test('keeps each package in its room', () => {
    const wrong = imports
      .filter(({ from, to }) => OWNERS[to] !== undefined && !OWNERS[to].includes(roomOf(from)))
      .map(({ from, to }) => `${from} → ${to}`);
    assert.deepEqual(wrong, []);
  });

  test('reads the environment in cmd/config.ts alone', () => {
    const wrong = files.filter(
      file => file !== 'cmd/config.ts' && readFileSync(join(root, file), 'utf8').includes('process.env'),
    );
    assert.deepEqual(wrong, []);
  });

  test('makes times of texts in one file, which does not guess', () => {
    const guesses = /\bDate\.parse\b|\bnew Date\((text|string|`|'|"|.*\?\? '')/;
    assert.deepEqual(
      files.filter(file => guesses.test(readFileSync(join(root, file), 'utf8'))),
      [],
    );
  });

  test('opens every file by saying what it is', () => {
    const wrong = files.filter(file => !readFileSync(join(root, file), 'utf8').startsWith('/**'));
    assert.deepEqual(wrong, []);
  });
});
