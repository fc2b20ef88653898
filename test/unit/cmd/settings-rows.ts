/** The table of settings as `cmd/README.md` has it, made from the table in the code. */
import { SETTINGS, type Setting } from '../../../cmd/settings.ts';

const FILES = { worker: 'worker', context: 'context' } as const;

/** file, setting, flag, variable, type, default, meaning. */
export function settingRows(): string[][] {
  return Object.values<Setting>(SETTINGS).map(setting => [
    setting.file === null ? '' : FILES[setting.file],
    setting.file === null ? '' : code(setting.key),
    setting.flag === null ? '' : code(setting.flag.split(' ')[0]!),
    setting.variable === null ? '' : code(setting.variable),
    typeof setting.kind === 'string' ? setting.kind : setting.kind.map(code).join(', '),
    setting.default === null ? '' : code(String(setting.default)),
    `${setting.means}${setting.secret === true ? ' (secret)' : ''}`,
  ]);
}

function code(text: string): string {
  return `\`${text}\``;
}
