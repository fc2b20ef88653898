/**
 * Protocol Buffers through `protobufjs`, from a `.proto` file or text.
 *
 * 64-bit integers become numbers where that is exact, else bigints; enums become their names; bytes become
 * Uint8Arrays; fields that are not set have their defaults, except `optional` ones, members of a `oneof` and (as null)
 * messages. Any bytes that happen to be well-formed are read as the type: the format has no mark of its own.
 */
import type protobufjs from 'protobufjs';
import { MillraceError, messageOf } from '../base/errors.ts';
import { checkOptions } from '../base/given.ts';
import { type Decoder, unreadableCause } from './format.ts';
import { protoRoot, protoTexts } from './proto-files.ts';
import { ProtobufScan } from './protobuf-scan.ts';

/** Where the message type is defined (one of three), and its full name. */
export type ProtobufOptions = { readonly type: string } & (
  | { readonly proto: string | readonly string[] }
  | { readonly file: string }
  | { readonly root: protobufjs.Root }
);

const CONVERSION: protobufjs.IConversionOptions = { enums: String, defaults: true };

/**
 * One message of `type`, e.g. `shop.v1.Order`, a NATS message.
 * @param options `proto`: the definition as text, or as several where one imports another; `file`: its path from the
 * project's folder, with its imports; `root`: as protobufjs has it. Google's definitions (timestamp, duration,
 * struct …) can be imported by each. A deployed pipeline carries along the files that its code names as texts in quotes.
 * @throws MillraceError INVALID_ARGUMENT when there is no such file or type, or it cannot be parsed.
 */
export function protobuf(options: ProtobufOptions): Decoder {
  checkOptions('protobuf', options ?? null, ['type', 'proto', 'file', 'root']);
  const type = typeOf(options);
  const mustConvert = holdsLongsOrBytes(type, new Set());
  const scan = new ProtobufScan(type);
  return {
    name: `protobuf(${options.type})`,
    decode({ data }, out, report) {
      try {
        scan.refuseMany(data);
        const value: unknown = type.toObject(type.decode(data), CONVERSION);
        out.push(mustConvert ? plain(value) : value);
      } catch (error) {
        report({ index: 0, bytes: data, cause: unreadableCause(`not a ${options.type}`, error) });
      }
    },
  };
}

function typeOf(options: ProtobufOptions): protobufjs.Type {
  try {
    const type = rootOf(options).lookupType(options.type);
    type.root.resolveAll();
    return type;
  } catch (cause) {
    const remedy = isMissing(cause)
      ? "; name the file from the project's folder by a text in quotes, so that it is deployed along with the code"
      : '';
    throw new MillraceError('INVALID_ARGUMENT', `protobuf type ${options.type}: ${messageOf(cause)}${remedy}`, {
      cause,
    });
  }
}

function rootOf(options: ProtobufOptions): protobufjs.Root {
  if ('root' in options) return options.root;
  if ('file' in options) return protoRoot(protoTexts(options.file));
  return protoRoot(typeof options.proto === 'string' ? [options.proto] : options.proto);
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
}

/** Whether values of the type can hold what must be converted; most types are spared the walk. */
function holdsLongsOrBytes(type: protobufjs.Type, seen: Set<protobufjs.Type>): boolean {
  if (seen.has(type)) return false;
  seen.add(type);
  return type.fieldsArray.some(field => {
    const resolved = field.resolve().resolvedType;
    return (
      field.long || field.bytes || (resolved !== null && 'fieldsArray' in resolved && holdsLongsOrBytes(resolved, seen))
    );
  });
}

/** Converts what protobufjs hands out as objects of its own, in place; its decoder has bounded the nesting. */
function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (isLong(value)) {
    const number = value.toNumber();
    return Number.isSafeInteger(number) ? number : BigInt(value.toString());
  }
  // A copy: the decoder gives a view of the message.
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = plain(value[i]);
    return value;
  }
  const fields = value as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    const field = fields[name];
    if (typeof field === 'object' && field !== null) fields[name] = plain(field);
  }
  return value;
}

/** By its mark, not by its class: a `root` may come from another copy of the library. */
function isLong(value: object): value is { toNumber(): number; toString(): string } {
  return '__isLong__' in value;
}
