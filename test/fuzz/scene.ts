/** What the fuzz of a worker runs: a pipeline that reads whatever comes, in each way that there is, and one that is innocent. */
import { cloudEvents } from '../../lib/record/cloudevents.ts';
import { bytes, type Decoder, text } from '../../lib/record/format.ts';
import { auto, oneOfFormats } from '../../lib/record/formats.ts';
import { msgpack } from '../../lib/record/msgpack.ts';
import { protobuf } from '../../lib/record/protobuf.ts';
import { PROTO } from './hostile-messages.ts';

export const HOSTILE = 'fuzz';
export const INNOCENT = 'innocent';
export const IN = 'FUZZ_IN';
export const TABLE = 'fuzz-rows';

/** Each is a source, what reads it (as the options of the pipeline's file, and here), and what becomes of its records. */
export interface Chain {
  readonly name: string;
  readonly options: string;
  readonly decoder: Decoder;
  readonly body: string;
}

const KEY = `keyBy(row => (row as { a?: string })?.a ?? String(row).slice(0, 9), { name: 'NAME-key' })`;

export const CHAINS: readonly Chain[] = [
  { name: 'any', options: '', decoder: auto(), body: '' },
  { name: 'keyed', options: '', decoder: auto(), body: `.${KEY}` },
  {
    name: 'joined',
    options: '',
    decoder: auto(),
    // A record that is null a join drops, and counts: none of these is.
    body: `.map(row => [row], { name: 'joined-map' })
    .keyBy(([row]) => (row as { a?: string })?.a ?? String(row).slice(0, 9), { name: 'NAME-key' })
    .leftJoin(rows, (row, other) => ({ row, other }), { name: 'joined-join' })`,
  },
  {
    name: 'named',
    options: `, formats: ['msgpack', 'ndjson']`,
    decoder: oneOfFormats(['msgpack', 'ndjson']),
    body: `.map(row => [row], { name: 'named-map' })`,
  },
  {
    name: 'proto',
    options: `, format: protobuf({ proto: PROTO, type: 'M' })`,
    decoder: protobuf({ proto: PROTO, type: 'M' }),
    body: '',
  },
  { name: 'many', options: ', format: msgpack({ many: true })', decoder: msgpack({ many: true }), body: `.${KEY}` },
  {
    name: 'events',
    options: ', format: cloudEvents({ data: msgpack() })',
    decoder: cloudEvents({ data: msgpack() }),
    body: '',
  },
  { name: 'text', options: ', format: text()', decoder: text(), body: `.${KEY}` },
  { name: 'bytes', options: ', format: bytes()', decoder: bytes(), body: '' },
];

export const inputOf = ({ name }: Chain) => `fuzz.in.${name}`;
export const outputOf = ({ name }: Chain) => `fuzz.out.${name}`;

export function hostileText(): string {
  const chains = CHAINS.map(chain => {
    const body = chain.body.replaceAll('NAME', chain.name);
    return `  from('${inputOf(chain)}', { name: '${chain.name}'${chain.options} })${body}
    .to('${outputOf(chain)}.{partition}', { name: '${chain.name}-out' });`;
  });
  return `import { bytes, cloudEvents, msgpack, pipeline, protobuf, text } from 'millrace';
const PROTO = ${JSON.stringify(PROTO)};
export default pipeline('${HOSTILE}', ({ from, table }) => {
  const rows = table('${TABLE}', { name: 'rows' });
${chains.join('\n')}
}, { partitions: 2 });
`;
}

/** What was sent, n, once each; and when. */
export interface InnocentRow {
  readonly n: number;
  readonly key: string;
  readonly atMs: number;
}

export const INNOCENT_TEXT = `import { pipeline } from 'millrace';
export default pipeline('${INNOCENT}', ({ from }) => {
  from<{ n: number; key: string; atMs: number }>('${INNOCENT}.in', { name: 'in' })
    .keyBy('key').dedupe({ id: row => String(row.n), within: '1h' }).to('${INNOCENT}.out.{partition}');
}, { partitions: 2 });
`;
