/**
 * A deep copy of what msgpack carries, for user code that may change what it is given and then fail. Some ten times
 * faster than `structuredClone`, which is asked only for what is neither a plain object nor a list.
 */
export function copyValue<T>(value: T, tally?: Tally): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    if (tally !== undefined) tally.values += value.length;
    const copy = new Array<unknown>(value.length);
    for (let i = 0; i < value.length; i++) copy[i] = copyValue(value[i], tally);
    return copy as T;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return structuredClone(value);
  const copy: Record<string, unknown> = {};
  const names = Object.keys(value);
  if (tally !== undefined) tally.values += names.length;
  for (const name of names) {
    const part = copyValue((value as Record<string, unknown>)[name], tally);
    // An own field of this name would set the prototype.
    if (name === '__proto__') Object.defineProperty(copy, name, { value: part, ...OWN });
    else copy[name] = part;
  }
  return copy as T;
}

const OWN = { configurable: true, enumerable: true, writable: true } as const;

/** What was copied, as items of lists and fields. */
export interface Tally {
  values: number;
}
