/**
 * The seal: by which the letters of a cluster, and what is replayed of them, are known as its own. Whoever may publish on a
 * subject can put any message there, with any header; what steers what a worker does (where a letter's content is published
 * again, which dedupes let it pass) counts only under a MAC that is made with a secret which the cluster's registry keeps.
 *
 * - *a letter* is sealed by the task that writes it: its subject, all `Millrace-` headers, its content
 * - *a replay* by the worker that publishes it: which letter it is, which dedupes had let it pass, its content. Its subject
 *   is not in it, since streams may be copied under others
 * - *a mark* by the worker that discards letters: whose message it is of, which are gone
 *
 * A seal says who wrote a message, and not that it is there once: who may read letters or replays, and publish on their
 * subjects, can put a copy there.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { headerOf } from '../port/headers.ts';
import type { Headers, StoredMessage } from '../port/log.ts';

export const HEADER_SEAL = 'Millrace-Seal';
export const SECRET_BYTES = 32;

const MAC_BYTES = 16;
/** What the outlet adds to a row, for people: nobody obeys it. */
const OUTSIDE = new Set(['Millrace-Task', 'Millrace-Sink', HEADER_SEAL]);

type Kind = 'letter' | 'replay' | 'gone';

export class Seal {
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  /** @param headers as they will be read back */
  ofLetter(subject: string, headers: Headers, data: Uint8Array): string {
    return this.#mac('letter', [subject, ...sealed(headers)], data).toString('base64url');
  }

  isLetter({ subject, headers, data }: Pick<StoredMessage, 'subject' | 'headers' | 'data'>): boolean {
    const seal = headers?.[HEADER_SEAL];
    return seal !== undefined && isSame(seal, this.#mac('letter', [subject, ...sealed(headers!)], data));
  }

  /** @param text what the header of the replay says */
  ofReplay(text: string, data: Uint8Array): string {
    return this.#mac('replay', [text], data).toString('base64url');
  }

  isReplay(text: string, { headers, data }: Pick<StoredMessage, 'headers' | 'data'>): boolean {
    const seal = headerOf(headers, 'millrace-seal');
    return seal !== null && isSame(seal, this.#mac('replay', [text], data));
  }

  /** @param subject the mark's, which names the message */
  ofMark(subject: string, data: Uint8Array): string {
    return this.#mac('gone', [subject], data).toString('base64url');
  }

  isMark({ subject, headers, data }: Pick<StoredMessage, 'subject' | 'headers' | 'data'>): boolean {
    const seal = headers?.[HEADER_SEAL];
    return seal !== undefined && isSame(seal, this.#mac('gone', [subject], data));
  }

  #mac(kind: Kind, texts: readonly string[], data: Uint8Array): Buffer {
    const mac = createHmac('sha256', this.#secret);
    // JSON has no newline, so where it ends is never in doubt.
    return mac
      .update(`${JSON.stringify([kind, ...texts])}\n`)
      .update(data)
      .digest()
      .subarray(0, MAC_BYTES);
  }
}

/** Where no secret is shared with anybody: tests, and the tester of authors. */
export const OPEN_SEAL = new Seal(new Uint8Array(SECRET_BYTES));

function sealed(headers: Headers): string[] {
  const names = Object.keys(headers).filter(name => name.startsWith('Millrace-') && !OUTSIDE.has(name));
  return names.sort().flatMap(name => [name, headers[name]!]);
}

function isSame(seal: string, mac: Buffer): boolean {
  const given = Buffer.from(seal.slice(0, 2 * MAC_BYTES), 'base64url');
  return given.length === MAC_BYTES && timingSafeEqual(given, mac);
}
