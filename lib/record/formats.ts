/**
 * The format of sources that name none: what the message's content type says. Which formats a sender may choose from is the
 * source's to say (`formats`); each of them is safe, whatever bytes come.
 */
import { headerOf } from '../port/headers.ts';
import { cloudEvents } from './cloudevents.ts';
import { type Decoder, mediaTypeOf, unreadable } from './format.ts';
import { json, ndjson } from './json.ts';
import { msgpack } from './msgpack.ts';

/** What a sender may choose from, where the source does not say. */
export const FORMAT_NAMES = ['json', 'ndjson', 'msgpack', 'cloudevents'] as const;

/** A format by its name, as `formats` of a source lists them. */
export type FormatName = (typeof FORMAT_NAMES)[number];

const FORMAT_OF_TYPE: Readonly<Record<string, FormatName>> = {
  'application/json': 'json',
  'application/x-ndjson': 'ndjson',
  'application/ndjson': 'ndjson',
  'application/jsonl': 'ndjson',
  'application/msgpack': 'msgpack',
  'application/x-msgpack': 'msgpack',
  'application/vnd.msgpack': 'msgpack',
  'application/x-msgpack-stream': 'msgpack',
  'application/cloudevents': 'cloudevents',
  'application/cloudevents+json': 'cloudevents',
  'application/cloudevents-batch': 'cloudevents',
  'application/cloudevents-batch+json': 'cloudevents',
};
const MANY_TYPE = 'application/x-msgpack-stream';

/**
 * NDJSON, MessagePack and CloudEvents (structured and batch) by their content types, everything else as JSON: NATS
 * clients rarely set a content type, and often a wrong one.
 */
export function auto(): Decoder {
  return byContentType(FORMAT_NAMES, 'auto');
}

/** As `auto`, of these formats alone; what has no content type, or one that is not known, is of the first. */
export function oneOfFormats(formats: readonly FormatName[]): Decoder {
  return byContentType(formats, `auto(${formats.join(', ')})`);
}

/** Whether a source of this format reads JSON under the content type of JSON. */
export function readsJson({ name }: Decoder): boolean {
  return name === 'auto' || name === 'json' || name === 'ndjson' || /^auto\((.*, )?json\b/.test(name);
}

function byContentType(formats: readonly FormatName[], name: string): Decoder {
  const decoders = { json: json(), ndjson: ndjson(), msgpack: msgpack(), cloudevents: cloudEvents() };
  const otherwise = decoders[formats[0]!];
  const byType = new Map<string, Decoder>(
    Object.entries(FORMAT_OF_TYPE).map(([type, format]) => {
      if (!formats.includes(format)) return [type, refusing(type, formats)];
      return [type, type === MANY_TYPE ? msgpack({ many: true }) : decoders[format]];
    }),
  );

  function decoderOf(headers: Readonly<Record<string, string>> | null): Decoder {
    if (headers === null) return otherwise;
    const contentType = headerOf(headers, 'content-type');
    if (contentType === null) return otherwise;
    return byType.get(contentType) ?? byType.get(mediaTypeOf(contentType)) ?? otherwise;
  }

  return {
    name,
    decode(message, out, report) {
      decoderOf(message.headers).decode(message, out, report);
    },
    parts(message) {
      return decoderOf(message.headers).parts?.(message) ?? null;
    },
  };
}

function refusing(type: string, formats: readonly FormatName[]): Decoder {
  return {
    name: 'none',
    decode({ data }, _out, report) {
      const cause = unreadable(`the source does not take ${type}: its formats are ${formats.join(', ')}`);
      report({ index: 0, bytes: data, cause });
    },
  };
}
