/**
 * URLs that may hold a login: taken apart once, where a setting is read, so that nothing behind that has one to show.
 * NATS takes `nats://user:password@host` and `nats://token@host`; a collector may be behind `http://user:password@host`.
 */

export interface Login {
  readonly user: string;
  /** Null: what stands there is a user or a token, as the reader has it. */
  readonly password: string | null;
}

/** A password that was not encoded may have any character in it, an `@` too: all up to the last one is login. */
const LOGIN = /^([a-z][a-z0-9+.-]*:\/\/)?(.*)@/is;

/** The URL as it may be shown, and who it logs in; null: nobody. */
export function splitLogin(url: string): { readonly url: string; readonly login: Login | null } {
  const match = LOGIN.exec(url);
  if (match === null) return { url, login: null };
  const [whole, scheme = '', login = ''] = match;
  const colon = login.indexOf(':');
  const user = decoded(colon < 0 ? login : login.slice(0, colon));
  return {
    url: scheme + url.slice(whole.length),
    login: { user, password: colon < 0 ? null : decoded(login.slice(colon + 1)) },
  };
}

/** A URL for people: no login, and no query, in which some put their keys. */
export function shownUrl(url: string): string {
  return splitLogin(url).url.replace(/[?#].*$/s, '');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not encoded, and meant as it stands
  }
}
