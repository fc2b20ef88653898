/**
 * The catalogue of events and metrics is what the code emits and what Prometheus is shown, and what is written about it:
 * README, dashboard and alerts name nothing else.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { EVENTS, type EventEntry, METRICS, type MetricEntry } from '../../lib/observe/catalogue.ts';
import { Metrics } from '../../lib/observe/metrics.ts';
import { root, tableRows, textOf } from './texts.ts';

/** `{ event: …, level: … }`, up to where the object ends. */
const EMIT = /\{\s*event:\s([^,]+),\s*level:\s([^,}]+),?([^}]*)\}/g;

interface Emitted {
  readonly file: string;
  readonly events: readonly string[];
  readonly levels: readonly string[];
  /** Fields that stand there by name. */
  readonly fields: readonly string[];
}

const LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error'];
const quoted = (text: string) => Array.from(text.matchAll(/'([a-z.-]+)'/g), match => match[1] ?? '');

function emittedIn(file: string): Emitted[] {
  return Array.from(textOf(file).matchAll(EMIT), ([, event = '', level = '', rest = '']) => {
    const named = Array.from(rest.matchAll(/(?:^|,)\s*(\w+)\s*(?=[:,]|\s*$)/g), match => match[1] ?? '');
    const fields = rest.includes('...errorFields(') ? [...named, 'code', 'message'] : named;
    // What is compared in a condition is quoted, too, and is neither a name nor a level.
    const events = quoted(event).filter(name => name.includes('.'));
    const levels = quoted(level).filter(word => LEVELS.includes(word));
    return { file, events, levels, fields };
  });
}

const files = ['lib', 'cmd'].flatMap(folder =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts'))
    .map(file => `${folder}/${file}`),
);
const emitted = files.flatMap(emittedIn).filter(({ events }) => events.length > 0);
const entryOf = (name: string) => (EVENTS as Readonly<Record<string, EventEntry>>)[name];
const plain = (cell: string | undefined) => (cell ?? '').replaceAll('`', '');

describe('events', () => {
  test('are found in the code', () => {
    assert.ok(emitted.length > 25, `only ${emitted.length} found`);
  });

  test('of the code are those of the catalogue', () => {
    const names = [...new Set(emitted.flatMap(({ events }) => events))].sort();
    assert.deepEqual(names, Object.keys(EVENTS).sort());
  });

  test('have the levels that the catalogue says', () => {
    const wrong = emitted.flatMap(({ file, events, levels }) =>
      events.flatMap(name =>
        levels
          .filter(level => !entryOf(name)?.levels.some(known => known === level))
          .map(level => `${file}: ${name} ${level}`),
      ),
    );
    // Two names in one place have a level each, so both are seen with both.
    const both = ['lib/cluster/lease.ts: lease.taken warn', 'lib/cluster/lease.ts: lease.lost info'];
    const fenced = ['lib/task/task.ts: task.fenced error'];
    assert.deepEqual(
      wrong.filter(line => ![...both, ...fenced].includes(line)),
      [],
    );
  });

  test('have no field that the catalogue does not know', () => {
    const wrong = emitted.flatMap(({ file, events, fields }) =>
      events.flatMap(name =>
        fields.filter(field => !entryOf(name)?.fields.includes(field)).map(field => `${file}: ${name} ${field}`),
      ),
    );
    assert.deepEqual(wrong, []);
  });

  test('stand in the README with their levels, fields and meanings', () => {
    const rows = tableRows(textOf('lib/observe/README.md'), 'event', 'levels', 'fields', 'means');
    assert.deepEqual(
      rows.map(([name, levels, fields, means]) => [plain(name), plain(levels), plain(fields), means]),
      Object.entries<EventEntry>(EVENTS).map(([name, { levels, fields, means }]) => [
        name,
        levels.join(' '),
        fields.join(' '),
        means,
      ]),
    );
  });
});

describe('metrics', () => {
  test('are all registered, with type and help', async () => {
    const text = await new Metrics({ version: '1', processMetrics: false }).text();
    const types = Object.fromEntries(
      Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name, type]) => [name, type]),
    );
    assert.deepEqual(
      types,
      Object.fromEntries(Object.entries<MetricEntry>(METRICS).map(([name, { type }]) => [name, type])),
    );
  });

  test('keep to the conventions of names', () => {
    for (const [name, { type, help }] of Object.entries<MetricEntry>(METRICS)) {
      assert.match(name, /^millrace_[a-z_]+$/);
      assert.equal(name.endsWith('_total'), type === 'counter', name);
      if (type === 'histogram') assert.match(name, /_seconds$/);
      assert.match(help, /\.$/, name);
    }
  });

  test('stand in the README with their types, labels and meanings', () => {
    const rows = tableRows(textOf('lib/observe/README.md'), 'metric', 'type', 'labels', 'what it is');
    assert.deepEqual(
      rows.map(([name, type, labels, help]) => [plain(name), type, plain(labels), help]),
      Object.entries<MetricEntry>(METRICS).map(([name, { type, labels, help }]) => [
        name,
        type,
        labels.join(' '),
        help,
      ]),
    );
  });
});

describe('deploy', () => {
  const read = (file: string) => readFileSync(join(root, file), 'utf8');
  /** What may be asked of a metric: a histogram's parts, and the labels it has. */
  const series = new Map(
    Object.entries<MetricEntry>(METRICS).flatMap(([name, entry]) => {
      const names = entry.type === 'histogram' ? ['_bucket', '_sum', '_count'].map(end => name + end) : [name];
      return names.map(one => [one, entry.labels] as const);
    }),
  );

  function check(expression: string): void {
    const names = expression.match(/\bmillrace_[a-z_]+/g) ?? [];
    assert.ok(names.length > 0 || /\b(process|nodejs)_/.test(expression), expression);
    for (const name of names) assert.ok(series.has(name), `${name} does not exist: ${expression}`);
    for (const [, name = '', matchers = ''] of expression.matchAll(/(millrace_[a-z_]+)\{([^}]*)\}/g)) {
      for (const [, label = ''] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)) {
        const known = [...(series.get(name) ?? []), 'instance', 'job', 'le'];
        assert.ok(known.includes(label), `${name} has no label ${label}: ${expression}`);
      }
    }
  }

  test('has a dashboard whose every query names metrics and labels that exist', () => {
    const dashboard = JSON.parse(read('deploy/grafana/millrace.json')) as {
      panels: { id: number; type: string; title: string; targets?: { expr: string }[] }[];
      templating: { list: { name: string; type: string }[] };
      schemaVersion: number;
    };
    assert.ok(dashboard.schemaVersion >= 36);
    assert.deepEqual(
      dashboard.templating.list.map(({ name }) => name),
      ['datasource', 'pipeline'],
    );
    const ids = dashboard.panels.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    const queries = dashboard.panels.flatMap(({ targets }) => targets ?? []);
    assert.ok(queries.length > 12);
    for (const { expr } of queries) check(expr);
  });

  test('has alerts whose every expression names metrics and labels that exist, and which say what to do', () => {
    const { groups } = parse(read('deploy/prometheus/alerts.yml')) as {
      groups: {
        rules: { alert: string; expr: string; labels: { severity: string }; annotations: Record<string, string> }[];
      }[];
    };
    const rules = groups.flatMap(group => group.rules);
    assert.ok(rules.length >= 6);
    for (const { alert, expr, labels, annotations } of rules) {
      assert.match(alert, /^Millrace[A-Z]/);
      assert.match(labels.severity, /^(critical|warning)$/);
      assert.ok(annotations.summary && annotations.description, alert);
      check(expr);
    }
  });
});
