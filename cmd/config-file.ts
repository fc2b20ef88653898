/**
 * Files with settings: YAML, checked against the table. What is unknown or of the wrong type is an error that names the
 * file and the place, all of them at once.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Document } from 'yaml';
import { MillraceError, messageOf } from '../lib/base/errors.ts';
import { didYouMean } from '../lib/base/nearest.ts';
import { checked, type FileValues, shownValue } from './config.ts';
import { SETTINGS, type Setting, type SettingName, type SettingValue } from './settings.ts';
import { yaml } from './yaml.ts';

/** A worker's settings. Throws INVALID_ARGUMENT. */
export function readWorkerFile(path: string): FileValues {
  const document = readYaml(path);
  if (document === null) {
    throw new MillraceError('INVALID_ARGUMENT', `there is no file ${path}; give the path of a worker's settings`);
  }
  const mistakes: string[] = [];
  const values = valuesOf(document.toJS() ?? {}, { kind: 'worker', path, within: '', mistakes });
  throwIfAny(mistakes);
  return values;
}

/** The document; null: there is no such file. Throws INVALID_ARGUMENT: it cannot be read, or is no YAML. */
export function readYaml(path: string): Document | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new MillraceError('INVALID_ARGUMENT', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  const document = yaml().parseDocument(text);
  const [mistake] = document.errors;
  if (mistake !== undefined)
    throw new MillraceError('INVALID_ARGUMENT', `${path} is no YAML: ${mistake.message.trim()}`);
  return document;
}

interface Place {
  readonly kind: 'worker' | 'context';
  readonly path: string;
  /** Where in the file, for messages: empty, or ending in a dot. */
  readonly within: string;
  readonly mistakes: string[];
}

/** The settings in a mapping; mistakes are added to the list. */
export function valuesOf(mapping: unknown, place: Place): FileValues {
  const { kind, path, mistakes } = place;
  const known = new Map<string, SettingName>();
  for (const [name, setting] of Object.entries<Setting>(SETTINGS)) {
    if (setting.file === kind) known.set(setting.key, name as SettingName);
  }
  const values = new Map<SettingName, SettingValue<Setting>>();
  const walk = (value: unknown, at: string) => {
    const where = `${path}: ${place.within}${at}`;
    const name = known.get(at);
    if (name !== undefined) {
      const setting: Setting = SETTINGS[name];
      try {
        const good = checked(value, setting.kind, where, shownValue(value, setting));
        values.set(name, setting.kind === 'path' ? resolve(dirname(path), String(good)) : good);
      } catch (error) {
        mistakes.push(messageOf(error));
      }
      return;
    }
    const inside = [...known.keys()].filter(key => at === '' || key.startsWith(`${at}.`));
    if (inside.length === 0) {
      mistakes.push(`${where} is no setting${didYouMean(at, [...known.keys()])}`);
    } else if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      mistakes.push(
        `${at === '' ? path : where} is ${JSON.stringify(value)}; give a mapping with ${inside.join(', ')}`,
      );
    } else {
      for (const [key, part] of Object.entries(value)) walk(part, at === '' ? key : `${at}.${key}`);
    }
  };
  walk(mapping, '');
  return values;
}

/** Throws INVALID_ARGUMENT with all of them, a line each. */
export function throwIfAny(mistakes: readonly string[]): void {
  if (mistakes.length > 0) throw new MillraceError('INVALID_ARGUMENT', mistakes.join('\n'));
}
