/**
 * Files that are read again when they change, also where links are turned, as Kubernetes does it. What cannot be used is
 * told, and what was read before stays.
 */
import { readFileSync, statSync } from 'node:fs';
import { MillraceError, messageOf } from '../base/errors.ts';
import { errorFields, type Observer } from '../observe/events.ts';

/** Changes when one of the files does. */
export function stateOf(files: readonly (string | undefined)[]): string {
  return files
    .map(file => (file === undefined ? undefined : statSync(file, { throwIfNoEntry: false })))
    .map(stat => (stat === undefined ? '-' : `${stat.ino} ${stat.mtimeMs} ${stat.size}`))
    .join(',');
}

/** Where a value comes from. */
export interface FileSource<T> {
  readonly file: string;
  /** Throws INVALID_ARGUMENT: it cannot be used. */
  read(): T;
}

/** The value of a file, as it was when it could last be used. */
export class FileValue<T> {
  readonly #source: FileSource<T>;
  #seen: string;
  #value: T;

  constructor(source: FileSource<T>) {
    this.#source = source;
    this.#seen = stateOf([source.file]);
    this.#value = source.read();
  }

  get value(): T {
    return this.#value;
  }

  /** True: it is another one now. */
  renew(observer: Observer): boolean {
    const { file } = this.#source;
    const seen = stateOf([file]);
    if (seen === this.#seen) return false;
    this.#seen = seen;
    try {
      this.#value = this.#source.read();
    } catch (error) {
      observer.emit({ event: 'api.access-unusable', level: 'warn', file, ...errorFields(error) });
      return false;
    }
    observer.emit({ event: 'api.access-renewed', level: 'info', file });
    return true;
  }
}

/** A token, alone in a file. Throws INVALID_ARGUMENT. */
export function readToken(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    const what = `the token file ${file} cannot be read: ${messageOf(error)}`;
    throw new MillraceError('INVALID_ARGUMENT', what, { cause: error });
  }
  if (text !== '') return text;
  throw new MillraceError('INVALID_ARGUMENT', `the token file ${file} is empty; write the token into it`);
}
