/** The format of sources that name none: what the message's content type says, and JSON where it says nothing else. */

import { headerOf } from '../port/headers.ts';
import { cloudEvents } from './cloudevents.ts';
import { type Decoder, mediaTypeOf } from './format.ts';
import { json, ndjson } from './json.ts';
import { msgpack } from './msgpack.ts';

/**
 * NDJSON, MessagePack and CloudEvents (structured and batch) by their content types, everything else as JSON: NATS
 * clients rarely set a content type, and often a wrong one.
 */
export function auto(): Decoder {
  const otherwise = json();
  const lines = ndjson();
  const packed = msgpack();
  const packedMany = msgpack({ many: true });
  const events = cloudEvents();
  const byType = new Map<string, Decoder>([
    ['application/x-ndjson', lines],
    ['application/ndjson', lines],
    ['application/jsonl', lines],
    ['application/msgpack', packed],
    ['application/x-msgpack', packed],
    ['application/vnd.msgpack', packed],
    ['application/x-msgpack-stream', packedMany],
    ['application/cloudevents', events],
    ['application/cloudevents+json', events],
    ['application/cloudevents-batch', events],
    ['application/cloudevents-batch+json', events],
  ]);

  function decoderOf(headers: Readonly<Record<string, string>> | null): Decoder {
    if (headers === null) return otherwise;
    const contentType = headerOf(headers, 'content-type');
    if (contentType === null) return otherwise;
    return byType.get(contentType) ?? byType.get(mediaTypeOf(contentType)) ?? otherwise;
  }

  return {
    name: 'auto',
    decode(message, out, report) {
      decoderOf(message.headers).decode(message, out, report);
    },
    parts(message) {
      return decoderOf(message.headers).parts?.(message) ?? null;
    },
  };
}
