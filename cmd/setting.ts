/** What a setting is: where it may stand, of which type it is, what it means. Which there are is in `settings.ts`. */

/**
 * - `list`     texts, in flags and variables separated by commas
 * - `label`    a text of one line, at most 64 characters
 * - `address`  `HOST:PORT`; a port alone means this machine
 * - `path`     of a file or folder; in a file relative to that file
 * - `seconds`  a number, 0 or more
 * - `amount`   a number, 0 or more
 * - `count`    a whole number, 1 or more
 * - `count-none`  the same, or 0
 * - `count-auto`  the same, or `auto`
 * - `switch`   true or false; as a flag without a value
 * - `off-address`  an address, or `off`
 * - a list of words: one of them
 */
export type Kind =
  | 'text'
  | 'label'
  | 'list'
  | 'address'
  | 'off-address'
  | 'path'
  | 'seconds'
  | 'amount'
  | 'count'
  | 'count-none'
  | 'count-auto'
  | 'switch'
  | readonly string[];

export interface Setting {
  /** Which file it may stand in: a worker's, or a context of a client's; null: in none. */
  readonly file: 'worker' | 'context' | null;
  /** Its place there, and its name in the README. */
  readonly key: string;
  readonly flag: string | null;
  readonly variable: string | null;
  readonly kind: Kind;
  readonly default: string | number | boolean | readonly string[] | null;
  readonly means: string;
  /**
   * Never shown; has no flag, for flags are seen by all who may list processes. `login`: a URL, or several, of which the
   * login is never shown.
   */
  readonly secret?: true | 'login';
}

type Plain<K extends Kind> = K extends 'list'
  ? readonly string[]
  : K extends 'count-auto'
    ? number | 'auto'
    : K extends 'seconds' | 'amount' | 'count' | 'count-none'
      ? number
      : K extends 'switch'
        ? boolean
        : K extends readonly (infer Word)[]
          ? Word
          : string;

/** The value of a setting; null where it may be absent. */
export type SettingValue<S extends Setting> = Plain<S['kind']> | (S['default'] extends null ? null : never);
