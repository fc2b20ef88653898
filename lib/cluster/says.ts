/** What a member says of itself with every beat: one line of JSON. Whoever reads it may have heard a stranger. */
import { invariant } from '../base/errors.ts';

export interface MemberSays {
  readonly name: string;
  /** The process; see `Identity`. */
  readonly instance: string;
  /** The last change of leader that it knows of. */
  readonly term: number;
  readonly zone: string;
  readonly capacity: number;
  /** Busy fraction of each of its cores: 0 … 1. */
  readonly busy: number;
  /** How many parts it is at work on. */
  readonly owned: number;
  /** How many it follows, and is up to date with. */
  readonly warm: number;
  readonly draining: boolean;
  /** Its version of Millrace. */
  readonly version: string;
}

export const SAYS_BYTES_MAX = 1_024;

const MEMBER_NAME = /^[\w-]{1,128}$/;

export function writeSays(says: MemberSays): Uint8Array {
  const bytes = Buffer.from(JSON.stringify(says));
  invariant(bytes.length <= SAYS_BYTES_MAX, `what ${says.name} says of itself has ${bytes.length} bytes`);
  return bytes;
}

/** Null: no member has said that. What else a later version says is passed over. */
export function readSays(bytes: Uint8Array): MemberSays | null {
  if (bytes.length > SAYS_BYTES_MAX) return null;
  let said: unknown;
  try {
    said = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return null;
  }
  if (typeof said !== 'object' || said === null) return null;
  const { name, instance, term, zone, capacity, busy, owned, warm, draining, version } = said as Partial<MemberSays>;
  const isText = (one: unknown): one is string => typeof one === 'string';
  const isCount = (one: unknown): one is number => Number.isFinite(one) && (one as number) >= 0;
  // It becomes a token of subjects, and a key.
  if (!isText(name) || !MEMBER_NAME.test(name)) return null;
  if (!isText(instance) || !isText(zone) || !isText(version)) return null;
  if (!isCount(term) || !isCount(capacity) || !isCount(busy) || !isCount(owned) || !isCount(warm)) return null;
  if (typeof draining !== 'boolean') return null;
  return { name, instance, term, zone, capacity, busy, owned, warm, draining, version };
}
