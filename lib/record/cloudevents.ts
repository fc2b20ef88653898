/**
 * CloudEvents 1.0 (JSON format, NATS protocol binding): an event in binary mode (attributes in `ce-` headers, the
 * message is the data), in structured mode (a JSON object that holds all) or a batch (a JSON list of these). The mode is
 * the content type's; without one, what the message looks like.
 */

import { MillraceError, messageOf } from '../base/errors.ts';
import { checkOptions } from '../base/given.ts';
import { headerOf } from '../port/headers.ts';
import {
  bytes,
  type Decoder,
  type EncodedMessage,
  isDecoder,
  jsonOf,
  mediaTypeOf,
  RECORDS_PER_MESSAGE_MAX,
  text,
  unreadable,
  unreadableCause,
  withoutStacks,
} from './format.ts';
import { json } from './json.ts';
import { jsonOutput } from './output.ts';

/** An event as records carry it. Extension attributes stand beside the others. */
export interface CloudEvent<D = unknown> {
  /** Names the event within its source: a good id for `dedupe`, together with it. */
  readonly id: string;
  /** Who sent it, a URI reference. */
  readonly source: string;
  /** What has happened, e.g. `com.example.order.placed`. */
  readonly type: string;
  /** RFC 3339, as it was sent. */
  readonly time: string | undefined;
  /** What it is about, within the source. */
  readonly subject: string | undefined;
  /** The event itself, read as its content type says. */
  readonly data: D;
  readonly [extension: string]: unknown;
}

type Attributes = Record<string, unknown>;

const PREFIX = 'ce-';
/** Attributes that say how to read the event and have no meaning once it is read. */
const READING = new Set(['specversion', 'datacontenttype', 'data', 'data_base64', '__proto__']);

/**
 * @param options `data`: the format of the data; by default what `datacontenttype` says: JSON (also where it is
 * missing), text, else bytes. Data that a structured event holds as JSON is taken as it is.
 */
export function cloudEvents(options: { data?: Decoder } = {}): Decoder {
  checkOptions('cloudEvents', options, ['data']);
  if (options.data !== undefined && !isDecoder(options.data)) {
    throw new MillraceError('INVALID_ARGUMENT', `cloudEvents: data is a format, e.g. cloudEvents({ data: json() })`);
  }
  const dataDecoder = options.data ?? null;

  function structured(value: unknown, message: EncodedMessage): CloudEvent {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw unreadable('not a CloudEvent: not a JSON object');
    }
    const attributes = value as Attributes;
    const { data_base64: base64, data } = attributes;
    if (isAbsent(base64)) return eventOf(attributes, data);
    if (!isAbsent(data)) throw unreadable('not a CloudEvent: it has both data and data_base64');
    const contentType = String(attributes.datacontenttype ?? '');
    return eventOf(attributes, dataOf({ ...message, data: bytesOf(base64) }, contentType, dataDecoder));
  }

  return {
    name: dataDecoder === null ? 'cloudevents' : `cloudevents(${dataDecoder.name})`,
    decode(message, out, report) {
      let values: unknown[];
      try {
        if (modeOf(message) === 'binary') {
          out.push(binary(message, dataDecoder));
          return;
        }
        const value = jsonOf(message.data);
        values = Array.isArray(value) ? value : [value];
        if (values.length > RECORDS_PER_MESSAGE_MAX) {
          throw unreadable(
            `a batch of ${values.length} is beyond RECORDS_PER_MESSAGE_MAX (${RECORDS_PER_MESSAGE_MAX})`,
          );
        }
      } catch (error) {
        report({ index: 0, bytes: message.data, cause: unreadableCause('not a CloudEvent', error) });
        return;
      }
      withoutStacks(() => {
        for (let index = 0; index < values.length; index++) {
          try {
            out.push(structured(values[index], message));
          } catch (error) {
            const cause = unreadableCause('not a CloudEvent', error);
            report({ index, bytes: values.length === 1 ? message.data : jsonBytes(values[index], message), cause });
          }
        }
      });
    },
    /** An event of a batch is given as the JSON of what was read: where it stood in the message is not known. */
    parts(message) {
      if (modeOf(message) === 'binary') return null;
      const value = jsonOf(message.data);
      if (!Array.isArray(value)) return null;
      return value.flatMap(event => {
        try {
          structured(event, message);
        } catch {
          // Reported when the message was decoded; here it only does not count.
          return [];
        }
        return [jsonBytes(event, message)];
      });
    },
  };
}

/** The JSON format lets an attribute that is not there be null. */
function isAbsent(attribute: unknown): attribute is null | undefined {
  return attribute === null || attribute === undefined;
}

/** Throws RECORD_UNREADABLE. Node reads as much of any text as looks like base64: only what reads back is it. */
function bytesOf(base64: unknown): Uint8Array {
  if (typeof base64 !== 'string') throw unreadable('not a CloudEvent: data_base64 is not text');
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64') === base64) return bytes;
  throw unreadable('not a CloudEvent: data_base64 is not base64 of RFC 4648, section 4, with its padding');
}

function modeOf(message: EncodedMessage): 'binary' | 'json' {
  const contentType = mediaTypeOf(headerOf(message.headers, 'content-type'));
  if (contentType.startsWith('application/cloudevents')) {
    const format = contentType.slice('application/cloudevents'.length).replace(/^-batch/, '');
    if (format !== '' && format !== '+json')
      throw unreadable(`CloudEvents as ${contentType} cannot be read, only JSON`);
    return 'json';
  }
  return headerOf(message.headers, 'ce-specversion') === null ? 'json' : 'binary';
}

function binary(message: EncodedMessage, dataDecoder: Decoder | null): CloudEvent {
  const attributes: Attributes = {};
  for (const header in message.headers) {
    const name = header.toLowerCase();
    if (!name.startsWith(PREFIX) || name === 'ce-__proto__') continue;
    const attribute = name.slice(PREFIX.length);
    if (!Object.hasOwn(attributes, attribute)) attributes[attribute] = headerText(message.headers[header]!);
  }
  const contentType = headerOf(message.headers, 'content-type') ?? String(attributes.datacontenttype ?? '');
  const data = message.data.length === 0 ? undefined : dataOf(message, contentType, dataDecoder);
  return eventOf(attributes, data);
}

/** The binding percent-encodes what is not printable ASCII; a text that is not so encoded is taken as it is. */
function headerText(value: string): string {
  if (!value.includes('%')) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function eventOf(attributes: Attributes, data: unknown): CloudEvent {
  const { id, source, type, time, subject, specversion } = attributes;
  if (typeof specversion !== 'string' || !specversion.startsWith('1.')) {
    throw unreadable(`not a CloudEvent: specversion is ${JSON.stringify(specversion) ?? 'missing'}, not 1.0`);
  }
  const event: Record<string, unknown> & CloudEvent = {
    id: required('id', id),
    source: required('source', source),
    type: required('type', type),
    time: optional('time', time),
    subject: optional('subject', subject),
    data,
  };
  for (const name in attributes) {
    if (Object.hasOwn(event, name) || READING.has(name) || isAbsent(attributes[name])) continue;
    event[name] = attributes[name];
  }
  return event;
}

function required(name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw unreadable(`not a CloudEvent: ${name} is ${JSON.stringify(value) ?? 'missing'}, not a text`);
}

function optional(name: string, value: unknown): string | undefined {
  return isAbsent(value) ? undefined : required(name, value);
}

const readers = { json: json(), text: text(), bytes: bytes() };

function dataOf(message: EncodedMessage, contentType: string, decoder: Decoder | null): unknown {
  const values: unknown[] = [];
  let cause: Error | null = null;
  (decoder ?? readerOf(mediaTypeOf(contentType))).decode(message, values, part => {
    cause ??= part.cause;
  });
  if (cause !== null) throw unreadable(`the data of a CloudEvent cannot be read: ${messageOf(cause)}`, cause);
  if (values.length !== 1) throw unreadable(`the data of a CloudEvent is ${values.length} values, not one`);
  return values[0];
}

function readerOf(mediaType: string): Decoder {
  if (mediaType === '' || mediaType.endsWith('/json') || mediaType.endsWith('+json')) return readers.json;
  return mediaType.startsWith('text/') ? readers.text : readers.bytes;
}

/** An event of a batch by itself; the whole batch where it is nested too deep to be written again. */
function jsonBytes(value: unknown, message: EncodedMessage): Uint8Array {
  try {
    return Buffer.from(jsonOutput(value));
  } catch {
    return message.data;
  }
}
