/**
 * The access file, as YAML or JSON says it: who there is, what each is known by, and which roles each has.
 *
 *   identities:
 *     - name: shop
 *       token: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
 *       roles: [read, deploy:shop-*]
 *     - name: worker
 *       certificate: worker.millrace
 *       roles: [peer]
 *
 * Tokens stand there by their SHA-256, so the file lets nobody in who reads it. It is no password hash: tokens are long and
 * random (`millrace keys --token`). All mistakes are told at once, by their places.
 */
import { MillraceError } from '../base/errors.ts';
import { didYouMean } from '../base/nearest.ts';
import { ANYONE } from '../service/caller.ts';
import { type Grant, type Identity, parseGrant, ROLES } from './roles.ts';

/** Whoever has the one token of the workers' settings. */
export const TOKEN_HOLDER = 'token';

export interface KnownIdentity extends Identity {
  /** SHA-256 of its tokens, hex. */
  readonly tokens: readonly string[];
  /** Names in its certificates: the subject's common name, or one of the others. */
  readonly certificates: readonly string[];
}

const KEYS = ['name', 'token', 'certificate', 'roles'];
/** What a header can carry. */
const NAME = /^[A-Za-z0-9._@:/+-]{1,64}$/;
const DIGEST = /^sha256:([0-9a-f]{64})$/;

/** Throws INVALID_ARGUMENT with all that is wrong, a line each. @param file for messages. */
export function parseIdentities(document: unknown, file: string): readonly KnownIdentity[] {
  const mistakes: string[] = [];
  const { identities, ...rest } = mapping(document);
  for (const key of Object.keys(rest)) mistakes.push(`${file}: ${key} is no setting; give identities`);
  if (!Array.isArray(identities) || identities.length === 0) {
    mistakes.push(`${file}: identities is no list with somebody in it; nobody could call the API`);
  }
  const known: KnownIdentity[] = [];
  const taken = new Map<string, string>();
  (Array.isArray(identities) ? identities : []).forEach((one: unknown, index) => {
    const where = `${file}: identities[${index}]`;
    const fields = mapping(one);
    const wrong = (text: string) => void mistakes.push(`${where}${text}`);
    for (const key of Object.keys(fields)) {
      if (!KEYS.includes(key)) wrong(`.${key} is no setting${didYouMean(key, KEYS)}`);
    }
    const name = typeof fields.name === 'string' ? fields.name : '';
    if (!NAME.test(name)) wrong('.name is missing or none; give up to 64 letters, digits and . _ @ : / + -');
    if (name === ANYONE || name === TOKEN_HOLDER) wrong(`.name ${name} means somebody else; give another one`);
    const tokens = texts(fields.token, () => wrong('.token is no text or list of texts')).map(token => {
      const digest = DIGEST.exec(token)?.[1];
      // Not shown: it may be the token itself.
      if (digest === undefined) wrong('.token is no sha256:… of a token; make one with: millrace keys --token');
      return digest ?? '';
    });
    const certificates = texts(fields.certificate, () => wrong('.certificate is no text or list of texts'));
    if (tokens.length + certificates.length === 0) wrong(' has neither token nor certificate to be known by');
    const grants = texts(fields.roles, () => wrong('.roles is no list of roles')).flatMap((text): Grant[] => {
      const grant = parseGrant(text);
      if (grant !== null) return [grant];
      const [role = ''] = text.split(':');
      const more = Object.hasOwn(ROLES, role)
        ? '; a pattern has small letters, digits, - and *, and peer has none'
        : '';
      wrong(`.roles has ${text}; give ROLE or ROLE:PATTERN, of ${Object.keys(ROLES).join(', ')}${more}`);
      return [];
    });
    if (fields.roles === undefined) wrong('.roles is missing; give e.g. [read]');
    for (const [what, values] of [
      ['name', [name]],
      ['token', tokens],
      ['certificate', certificates],
    ] as const) {
      for (const value of values) {
        const before = taken.get(`${what} ${value}`);
        if (before !== undefined && value !== '') wrong(`.${what} is that of ${before}, too`);
        taken.set(`${what} ${value}`, name);
      }
    }
    known.push({ name, grants, tokens, certificates });
  });
  if (mistakes.length > 0) throw new MillraceError('INVALID_ARGUMENT', mistakes.join('\n'));
  return known;
}

function mapping(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** A text is a list of one; nothing is an empty one. */
function texts(value: unknown, wrong: () => void): string[] {
  const list = value === undefined ? [] : typeof value === 'string' ? [value] : value;
  if (Array.isArray(list) && list.every((one): one is string => typeof one === 'string' && one !== '')) return list;
  wrong();
  return [];
}
