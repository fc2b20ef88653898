/**
 * Error details as the gRPC world has them: a `google.rpc.Status` in the trailer `grpc-status-details-bin`, with an
 * ErrorInfo for every error on purpose, and the fields of a request or the conditions that were at fault. The messages are
 * written here as descriptors of the public schema, `google/rpc/error_details.proto`.
 */
import { createRequire } from 'node:module';
import type protobufjs from 'protobufjs';

/** A field of a request that is wrong, by its path in the proto: `filter.pipeline`. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

export interface Details {
  /** A gRPC status. */
  readonly status: number;
  readonly message: string;
  /** Our code; null: it was no error on purpose. */
  readonly reason: string | null;
  readonly violations: readonly Violation[];
  /** Conditions of what is there already that were not met. */
  readonly unmet: readonly { readonly subject: string; readonly description: string }[];
}

export const DETAILS_TRAILER = 'grpc-status-details-bin';
const DOMAIN = 'millrace';
/**
 * All of a status must fit into what every client takes as headers, 8 KiB in some languages. The text has its own place
 * there (`errors.ts`), and this is what the details may take, before base64.
 */
const BYTES_MAX = 2_800;
const MESSAGE_CHARACTERS_MAX = 800;
const DESCRIPTION_CHARACTERS_MAX = 400;

const TEXT = 'string';

/** Messages of `google.rpc`, so far as they are used. */
export const ERROR_DETAILS = {
  ErrorInfo: {
    fields: {
      reason: { type: TEXT, id: 1 },
      domain: { type: TEXT, id: 2 },
      metadata: { keyType: TEXT, type: TEXT, id: 3 },
    },
  },
  BadRequest: {
    fields: { field_violations: { rule: 'repeated', type: 'FieldViolation', id: 1 } },
    nested: { FieldViolation: { fields: { field: { type: TEXT, id: 1 }, description: { type: TEXT, id: 2 } } } },
  },
  PreconditionFailure: {
    fields: { violations: { rule: 'repeated', type: 'Violation', id: 1 } },
    nested: {
      Violation: {
        fields: { type: { type: TEXT, id: 1 }, subject: { type: TEXT, id: 2 }, description: { type: TEXT, id: 3 } },
      },
    },
  },
} as const;

/** Their envelope. */
const STATUS = {
  Status: {
    fields: {
      code: { type: 'int32', id: 1 },
      message: { type: TEXT, id: 2 },
      details: { rule: 'repeated', type: 'Any', id: 3 },
    },
  },
  Any: { fields: { type_url: { type: TEXT, id: 1 }, value: { type: 'bytes', id: 2 } } },
} as const;

let types: protobufjs.Root | null = null;

function encode(name: keyof typeof ERROR_DETAILS | 'Status', message: object): Uint8Array {
  if (types === null) {
    const { Root } = createRequire(import.meta.url)('protobufjs') as typeof protobufjs;
    types = Root.fromJSON({ nested: { ...ERROR_DETAILS, ...STATUS } });
  }
  const type = types.lookupType(name);
  return type.encode(type.fromObject(message)).finish();
}

/** The trailer's bytes. Of a list that does not fit the first ones are in, and a last one says how many are not. */
export function encodeDetails(details: Details): Buffer {
  const { violations, unmet, reason } = details;
  const message = shortened(details.message, MESSAGE_CHARACTERS_MAX);
  const any: { type_url: string; value: Uint8Array }[] = [];
  const add = (name: keyof typeof ERROR_DETAILS, value: object) => {
    any.push({ type_url: `type.googleapis.com/google.rpc.${name}`, value: encode(name, value) });
  };
  if (reason !== null) add('ErrorInfo', { reason, domain: DOMAIN });
  let left = BYTES_MAX - Buffer.byteLength(message) - 100;
  const fitting = <T extends { readonly description: string }>(all: readonly T[], rest: (description: string) => T) => {
    const taken: T[] = [];
    for (const one of all) {
      const next = { ...one, description: shortened(one.description, DESCRIPTION_CHARACTERS_MAX) };
      left -= Object.values(next).reduce((bytes, text) => bytes + Buffer.byteLength(String(text)) + 8, 0);
      if (left < 0) {
        taken.push(rest(`and ${all.length - taken.length} more`));
        break;
      }
      taken.push(next);
    }
    return taken;
  };
  if (violations.length > 0) {
    const rest = (description: string) => ({ field: violations[0]!.field, description });
    add('BadRequest', { field_violations: fitting(violations, rest) });
  }
  if (unmet.length > 0) {
    const type = reason ?? '';
    const rest = (description: string) => ({ subject: unmet[0]!.subject, description });
    add('PreconditionFailure', { violations: fitting(unmet, rest).map(one => ({ type, ...one })) });
  }
  return Buffer.from(encode('Status', { code: details.status, message, details: any }));
}

/** Cuts a text, and makes it one that UTF-8 can say. */
export function shortened(text: string, charactersMax: number): string {
  const short = text.length <= charactersMax ? text : `${text.slice(0, charactersMax)} …`;
  return short.replace(/[\ud800-\udfff]/gu, '\ufffd');
}
