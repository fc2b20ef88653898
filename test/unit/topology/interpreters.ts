/**
 * Two naive interpreters that share no code: of the graph that an author described, and of the plan made of it. Each
 * record is followed to its end before the next one. Windows and joins only let records pass, marked with their port.
 */
import assert from 'node:assert/strict';
import type { Program, Target } from '../../../lib/operator/program.ts';
import type { Pipeline } from '../../../lib/topology/builder.ts';
import type { GraphNode } from '../../../lib/topology/graph.ts';
import type { Plan } from '../../../lib/topology/plan.ts';

export interface Event {
  readonly id: number;
  readonly n: number;
}

/** What came out: sink, key and value of each record. */
export type Output = string[];

/** A join, so far as the graph's shape goes: lets each side pass, marked. */
function joined({ id, n }: Event, port: number): Event {
  return { id, n: n * 2 + port };
}

export function runGraph({ graph }: Pipeline, events: readonly (readonly [source: number, event: Event])[]): Output {
  const output: Output = [];
  const seen = new Set<string>();
  const pass = (id: number, key: string | null, value: unknown): void => {
    for (const node of graph.nodes) {
      for (const [port, input] of node.inputs.entries()) if (input === id) receive(node, port, key, value);
    }
  };
  const receive = (node: GraphNode, port: number, key: string | null, value: unknown): void => {
    switch (node.kind) {
      case 'merge':
        pass(node.id, node.keyed ? key : null, value);
        break;
      case 'keyBy':
        pass(node.id, node.fn(value), value);
        break;
      case 'dedupe': {
        const mark = JSON.stringify([node.id, node.keyed ? key : null, node.idOf(value)]);
        if (!seen.has(mark)) {
          seen.add(mark);
          pass(node.id, key, value);
        }
        break;
      }
      case 'stateful':
        pass(node.id, key, joined(value as Event, port));
        break;
      case 'sink':
        output.push(JSON.stringify([node.name, node.keyed ? key : null, value]));
        break;
      case 'stateless':
        if (node.spec.kind === 'map') pass(node.id, key, node.spec.fn(value));
        else if (node.spec.kind === 'filter') {
          if (node.spec.fn(value)) pass(node.id, key, value);
        } else if (node.spec.kind === 'flatMap') for (const one of node.spec.fn(value)) pass(node.id, key, one);
    }
  };
  for (const [source, event] of events) pass(source, null, event);
  return output.sort();
}

export function runPlan(
  plan: Plan,
  events: readonly (readonly [source: number, event: Event])[],
  keyedSinks: Set<string>,
): Output {
  const output: Output = [];
  const seen = new Set<string>();
  type InHand = { key: string | null; value: unknown; carried: string | null };
  const send = (home: string, program: Program, targets: readonly Target[], record: InHand): void => {
    for (const target of targets) {
      if ('node' in target) visit(home, program, target.node, target.port, record);
      else {
        const exit = program.exits[target.exit];
        assert.ok(exit);
        if (exit.kind === 'sink') {
          const key = keyedSinks.has(exit.sink) ? record.key : null;
          output.push(JSON.stringify([exit.sink, key, record.value]));
        } else {
          const stage = plan.stages.find(({ name }) => name === exit.stage);
          assert.ok(stage);
          const input = stage.inputs.findIndex(({ name }) => name === exit.input);
          assert.ok(input >= 0, `stage ${stage.name} has no input ${exit.input}`);
          send(stage.name, stage.program, stage.program.entries[input] ?? [], record);
        }
      }
    }
  };
  const visit = (home: string, program: Program, index: number, port: number, record: InHand): void => {
    const node = program.nodes[index];
    assert.ok(node);
    for (const target of node.targets) assert.ok(!('node' in target) || target.node > index, 'topological order');
    const pass = (changes: Partial<InHand>) => send(home, program, node.targets, { ...record, ...changes });
    const { spec } = node;
    switch (spec.kind) {
      case 'map':
        pass({ value: spec.fn(record.value) });
        break;
      case 'filter':
        if (spec.fn(record.value)) pass({});
        break;
      case 'flatMap':
        for (const value of spec.fn(record.value)) pass({ value });
        break;
      case 'keyBy':
        pass({ key: spec.fn(record.value) });
        break;
      case 'carryId':
        pass({ carried: spec.fn(record.value) });
        break;
      case 'dedupe': {
        const id = spec.id === null ? record.carried : spec.id(record.value);
        assert.ok(id !== null, 'an id was carried');
        const mark = JSON.stringify([home, node.name, record.key, id]);
        if (!seen.has(mark)) {
          seen.add(mark);
          pass({});
        }
        break;
      }
      default:
        pass({ value: joined(record.value as Event, port) });
        break;
    }
  };
  for (const [source, value] of events) {
    const record = { key: null, value, carried: null };
    const reader = plan.readers.find(({ name }) => name === `s${source}`);
    if (reader !== undefined) send(`reader ${reader.name}`, reader.program, reader.program.entries[0] ?? [], record);
    const direct = plan.stages.find(stage => stage.direct?.name === `s${source}`);
    if (direct !== undefined) send(direct.name, direct.program, direct.program.entries[0] ?? [], record);
  }
  return output.sort();
}
