/**
 * What the verbs share: options made from the table of settings, examples, the way to a worker and back.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { durationMs } from '../../lib/base/duration.ts';
import { MillraceError } from '../../lib/base/errors.ts';
import type { Bundle } from '../../lib/bundle/bundle.ts';
import type { AdminClient } from '../../lib/control/client.ts';
import { isoTimeMs } from '../../lib/window/iso-time.ts';
import type { Flags } from '../config.ts';
import { type Target, targetOf } from '../contexts.ts';
import { checkMeant, currentFolder, projectOf } from '../dev-file.ts';
import { FORMATS, type Format, type OutputFormat } from '../output.ts';
import { CLIENT_SETTINGS, SETTINGS, type Setting, type SettingName } from '../settings.ts';
import type { Terminal } from '../terminal.ts';

/** What a verb is run in. */
export interface Around {
  readonly terminal: Terminal;
  /** Sets the exit code; 0 unless called. */
  readonly exit: (code: number) => void;
}

export type Options = Readonly<Record<string, unknown>>;

/** An option with its default and its variable in the help; its value is settled in `config.ts`. */
export function settingOption(name: SettingName, means?: string): Option {
  const setting: Setting = SETTINGS[name];
  const standard = setting.default === null || setting.default === false ? [] : [`default: ${setting.default}`];
  const more = means === undefined ? [...standard, ...(setting.variable === null ? [] : [setting.variable])] : [];
  const words = Array.isArray(setting.kind) ? [`one of ${setting.kind.join(', ')}`] : [];
  const notes = [...words, ...more].join('; ');
  return new Option(setting.flag ?? '', `${means ?? setting.means}${notes === '' ? '' : ` (${notes})`}`);
}

/** The flags among `names` that were given. */
export function flagsOf(names: readonly SettingName[], options: Options): Flags {
  const given: [string, string | boolean][] = [];
  for (const name of names) {
    const { flag }: Setting = SETTINGS[name];
    const value = flag === null ? undefined : options[new Option(flag).attributeName()];
    if (typeof value === 'string' || typeof value === 'boolean') given.push([name, value]);
  }
  return Object.fromEntries(given);
}

const CONNECTION = ['context', ...CLIENT_SETTINGS] as const;

/** Adds the options of all that ask a worker. */
export function asking(command: Command): Command {
  for (const name of CONNECTION) {
    if ((SETTINGS[name] as Setting).flag !== null) command.addOption(settingOption(name).helpGroup('Connection:'));
  }
  return command;
}

/** Adds `-o`; the first format is the default. */
export function printing(command: Command, formats: readonly OutputFormat[] = ['table', 'json', 'yaml']): Command {
  command.addOption(
    new Option('-o, --output <format>', 'how to print')
      .choices([...formats])
      .default(formats[0])
      .helpGroup('Output:'),
  );
  if (formats.includes('wide')) {
    command.addOption(new Option('--no-headers', 'tables without their first line').helpGroup('Output:'));
  }
  return command;
}

export function formatOf(options: Options): Format {
  return { output: FORMATS.find(format => format === options.output) ?? 'table', headers: options.headers !== false };
}

/** Where the command is to go. Throws INVALID_ARGUMENT. */
export function targetFor(options: Options): Target {
  return targetOf(flagsOf(CONNECTION, options));
}

export async function openClient(target: Target, timeoutMs?: number): Promise<AdminClient> {
  const { AdminClient } = await import('../../lib/control/client.ts');
  const { tls, tlsCa, tlsCert, tlsKey, tlsServerName, token } = target;
  return new AdminClient({
    address: target.server,
    ...(tls
      ? {
          tls: {
            ...(tlsCa === null ? {} : { caFile: tlsCa }),
            ...(tlsCert === null ? {} : { certFile: tlsCert }),
            ...(tlsKey === null ? {} : { keyFile: tlsKey }),
            ...(tlsServerName === null ? {} : { serverName: tlsServerName }),
          },
        }
      : {}),
    ...(token === null ? {} : { token }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
}

/**
 * Who is asked, where that may not be whom one thinks of; null: it is, or the command says it. Pure.
 * @param options.named whether the command names a context.
 */
export function whomText(
  {
    server,
    context,
    sources,
    dev,
  }: Pick<Target, 'server' | 'context' | 'dev'> & {
    readonly sources: { readonly server: Target['sources']['server'] };
  },
  { named }: { readonly named: boolean },
): string | null {
  if (sources.server === 'dev')
    return server === SETTINGS.server.default ? null : `asking this project's dev at ${server}`;
  if (dev === null || dev.api === server || named) return null;
  const passedOver = `and not this project's dev: to ask that, --server ${dev.api}`;
  if (sources.server === 'file') return `asking context ${context} at ${server}, ${passedOver}`;
  if (sources.server === 'variable') return `asking ${server}, which ${SETTINGS.server.variable} names, ${passedOver}`;
  return null;
}

/**
 * Asks the worker that the options name; where they name none, the project's own `dev`, or whoever has the usual address
 * and is not another project's. Throws INVALID_ARGUMENT: it is; and what the client throws.
 */
export async function withClient<T>(
  around: Around,
  options: Options,
  use: (client: AdminClient) => Promise<T>,
  timeoutMs?: number,
): Promise<T> {
  const target = targetFor(options);
  const { server, sources } = target;
  const client = await openClient(target, timeoutMs);
  try {
    const whom = whomText(target, { named: options.context !== undefined });
    if (whom !== null) around.terminal.err(`${whom}\n`);
    const folder = sources.server === 'dev' || sources.server === 'default' ? currentFolder() : null;
    if (folder !== null) {
      // Whoever does not answer now does not answer what is asked then, either, and that is told better.
      const info = await client.info().catch(() => null);
      checkMeant({ server, project: info?.project ?? null, here: projectOf(folder) });
    }
    return await use(client);
  } finally {
    client.close();
  }
}

export async function bundled(file: string): Promise<Bundle> {
  const { bundlePipeline } = await import('../../lib/bundle/bundle.ts');
  return bundlePipeline(file);
}

/** Examples for the end of a help text; what stands behind each is optional. */
export function examples(...lines: (readonly [command: string, what?: string])[]): string {
  const width = Math.max(...lines.filter(line => line[1] !== undefined).map(([command]) => command.length), 0);
  const shown = lines.map(([command, what]) =>
    what === undefined ? `  $ ${command}` : `  $ ${command.padEnd(width)}   # ${what}`,
  );
  return `\nExamples:\n${shown.join('\n')}\n`;
}

/** For `argParser`. */
export function secondsArgument(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0 || text.trim() === '') {
    throw new InvalidArgumentError('Give a number of seconds, e.g. 10.');
  }
  return value;
}

/** For `argParser`: a whole number. */
export function numberArgument(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('Give a whole number, e.g. 100.');
  return value;
}

/** For `argParser`: a whole number, or several separated by commas; may be given again and again. */
export function numbersArgument(text: string, before: readonly number[] | undefined): readonly number[] {
  const numbers = text.split(',').map(part => Number(part.trim() === '' ? Number.NaN : part));
  if (!numbers.every(number => Number.isSafeInteger(number) && number >= 0)) {
    throw new InvalidArgumentError('Give a whole number, or several separated by commas, e.g. 3,4.');
  }
  return [...(before ?? []), ...numbers];
}

/** Throws INVALID_ARGUMENT: an argument is missing that this kind of thing needs. */
export function needed(value: string | undefined, what: string, example: string): string {
  if (value !== undefined) return value;
  throw new MillraceError('INVALID_ARGUMENT', `${what} is missing; give it, e.g. ${example}`);
}

export function makeCommand(name: string, description: string, ...shown: Parameters<typeof examples>): Command {
  return new Command(name).description(description).addHelpText('after', examples(...shown));
}

/** `1h`, or a time as ISO 8601 has it. Throws INVALID_ARGUMENT. */
export function sinceMs(since: string): number {
  if (!/^\d+-/.test(since)) return Date.now() - durationMs(since, '--since');
  const timeMs = isoTimeMs(since);
  if (!Number.isNaN(timeMs)) return timeMs;
  throw new MillraceError('INVALID_ARGUMENT', `--since ${since} is no time; give e.g. 1h, or 2026-03-01T18:00:00Z`);
}
