/**
 * `worker` and `dev`: the commands that run a worker in this process. What they do is in `../worker.ts` and `../dev.ts`.
 */
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { isMillraceError, MillraceError } from '../../lib/base/errors.ts';
import type { Access } from '../../lib/control/access.ts';
import type { Observer } from '../../lib/observe/events.ts';
import { accessFile } from '../access-file.ts';
import {
  environmentFor,
  type FileValues,
  NO_FILE,
  natsOptions,
  platform,
  settle,
  settleOne,
  strangeVariables,
  tokenPlace,
} from '../config.ts';
import { readWorkerFile } from '../config-file.ts';
import { targetOf } from '../contexts.ts';
import { deployKeysOf } from '../secret-files.ts';
import { SETTINGS, type SettingName, type Settings, WORKER_SETTINGS } from '../settings.ts';
import { type Around, flagsOf, makeCommand, type Options, settingOption } from './common.ts';

const HEADINGS: Readonly<Record<string, readonly SettingName[]>> = {
  'NATS:': ['nats', 'natsCreds', 'natsCa', 'natsCert', 'natsKey', 'natsInboxPrefix', 'bucket'],
  'API:': [
    'listen',
    'advertise',
    'serverCert',
    'serverKey',
    'serverClientCa',
    'serverCa',
    'serverTokenFile',
    'access',
    'insecure',
    'deployKeys',
  ],
  'Worker:': [
    'workerConfig',
    'data',
    'env',
    'threads',
    'zone',
    'capacity',
    'standbys',
    'replicas',
    'stopSeconds',
    'stuckSeconds',
    'metrics',
    'otlp',
    'logLevel',
    'logFormat',
  ],
};

const DEV_SETTINGS = ['listen', 'insecure', 'metrics', 'stopSeconds', 'natsServer'] as const;

export function workerVerb(around: Around): Command {
  const command = makeCommand(
    'worker',
    'Run a worker: it serves the API, and runs its share of the pipelines beside the other workers on the same NATS.',
    ['millrace worker', 'against NATS on this machine'],
    ['millrace worker --nats nats://a:4222,nats://b:4222 --data /var/lib/millrace'],
    [
      'millrace worker --listen 0.0.0.0:4280 --tls-cert tls.crt --tls-key tls.key --access access.yaml',
      'reached by others',
    ],
    ['millrace worker --threads auto', 'all cores of the machine'],
    ['millrace worker --data .millrace/b --listen 127.0.0.1:4290', 'a second one, which takes its share'],
    ['millrace worker --standbys 1 --zone rack-2', 'each task has a copy of its state elsewhere'],
    ['millrace worker --config worker.yaml', 'settings in a file'],
  );
  for (const [heading, names] of Object.entries(HEADINGS)) {
    for (const name of names) command.addOption(settingOption(name).helpGroup(heading));
  }
  return command.action(async (options: Options) => {
    const flags = flagsOf(['workerConfig', ...WORKER_SETTINGS], options);
    const path = settle(['workerConfig'], { flags }).workerConfig;
    const file: FileValues = path === null ? NO_FILE : readWorkerFile(path);
    const settings = settle(WORKER_SETTINGS, { flags, file });
    const observer = await logOf(settings);
    for (const message of strangeVariables()) observer.emit({ event: 'config.ignored', level: 'warn', message });
    const { servers, ...login } = natsOptions(settings, 'millrace worker');
    const { workerCommand } = await import('../worker.ts');
    around.exit(
      await workerCommand({
        nats: { ...login, servers },
        dataDir: settings.data,
        bucket: settings.bucket,
        env: environmentFor(settings.env ?? []),
        listen: settings.listen,
        advertise: settings.advertise,
        metrics: metricsOf({ flags, file }),
        otlp: settings.otlp,
        threads: settings.threads === 'auto' ? availableParallelism() : settings.threads,
        replicas: settings.replicas,
        place: { zone: settings.zone ?? '', capacity: settings.capacity, standbys: settings.standbys },
        keys: settings.deployKeys === null ? null : deployKeysOf(settings.deployKeys),
        access: accessOf(settings, tokenPlace('worker', { flags, file })),
        stopMs: settings.stopSeconds * 1_000,
        stuckMs: settings.stuckSeconds * 1_000,
        observer,
      }),
    );
  });
}

type AccessSettings = Settings<'serverCert' | 'serverKey' | 'serverClientCa' | 'serverCa' | 'access' | 'insecure'>;

/** Throws INVALID_ARGUMENT: TLS needs both certificate and key. */
function accessOf(settings: AccessSettings, token: ReturnType<typeof tokenPlace>): Access {
  const { serverCert, serverKey, serverClientCa, serverCa, access, insecure } = settings;
  if (serverCert === null || serverKey === null) {
    const given = [serverCert, serverKey, serverClientCa, serverCa].some(value => value !== null);
    if (given) throw new MillraceError('INVALID_ARGUMENT', 'TLS needs both --tls-cert and --tls-key');
  }
  return {
    insecure,
    ...(token ?? {}),
    ...(access === null ? {} : { identities: accessFile(access) }),
    ...(serverCert === null || serverKey === null
      ? {}
      : {
          tls: {
            certFile: serverCert,
            keyFile: serverKey,
            ...(serverClientCa === null ? {} : { clientCaFile: serverClientCa }),
            ...(serverCa === null ? {} : { caFile: serverCa }),
          },
        }),
  };
}

/** Nobody has asked for the usual port: if it is taken, another will do. */
function metricsOf(from: Parameters<typeof settleOne>[1]) {
  const { value, source } = settleOne('metrics', from);
  return value === 'off' ? ('off' as const) : { address: value, orAnyPort: source === 'default' };
}

async function logOf(settings: {
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly logFormat: 'auto' | 'json' | 'text';
}): Promise<Observer> {
  const { jsonLog, textLog } = await import('../../lib/observe/log.ts');
  const write = (line: string) => void process.stderr.write(line);
  const log = { level: settings.logLevel, write, now: () => Date.now() };
  const text = settings.logFormat === 'text' || (settings.logFormat === 'auto' && process.stderr.isTTY);
  return text ? textLog(log) : jsonLog(log);
}

export function devVerb(around: Around): Command {
  const command = makeCommand(
    'dev',
    'Try a pipeline: a broker of its own, a worker and a screen in one process. Deploys again what is saved, and goes on where it was stopped.',
    ['millrace dev src/pipeline.ts'],
    ['millrace dev src/pipeline.ts --nats nats://127.0.0.1:4222', 'with events that are there already'],
    ['millrace dev src/pipeline.ts --reset', 'where state cannot be read: begin anew'],
  )
    .argument('<file>', 'the pipeline, e.g. src/pipeline.ts')
    .addOption(settingOption('nats', 'use this broker instead of one of its own'))
    .option('--reset', 'where state cannot be read by what was saved, delete it and begin anew, without being asked')
    .addOption(settingOption('env'))
    .addOption(settingOption('data', 'where broker and worker keep their data (default: .millrace in the project)'));
  for (const name of DEV_SETTINGS) {
    if (name !== 'natsServer') command.addOption(settingOption(name));
  }
  return command.action(async (file: string, options: Options) => {
    const flags = flagsOf(['nats', 'data', 'env', ...DEV_SETTINGS], options);
    const settings = settle(DEV_SETTINGS, { flags });
    const { nats, data } = flags;
    const all = settle(WORKER_SETTINGS, { flags });
    const { servers, ...login } = natsOptions(all, 'millrace dev');
    const { devCommand } = await import('../dev.ts');
    around.exit(
      await devCommand({
        file,
        nats: nats === undefined ? null : { ...login, servers },
        dataDir: data === undefined ? null : all.data,
        listen: settings.listen,
        insecure: settings.insecure,
        metrics: metricsOf({ flags }),
        stopMs: settings.stopSeconds * 1_000,
        stuckMs: all.stuckSeconds * 1_000,
        bucket: all.bucket,
        env: environmentFor(all.env ?? []),
        reset: options.reset === true,
        elsewhere: elsewhere(),
        natsServer: settings.natsServer,
        cacheDir: platform().cacheDir,
      }),
    );
  });
}

/** Where commands go that are run beside `dev`, and name no worker; null: to it. */
function elsewhere(): string | null {
  try {
    const { context, sources } = targetOf({});
    if (sources.server === 'file') return `context ${context}`;
    return sources.server === 'variable' ? `the worker that ${SETTINGS.server.variable} names` : null;
  } catch (error) {
    // Commands tell the mistakes of the client's file; `dev` needs none of it.
    if (isMillraceError(error, 'INVALID_ARGUMENT')) return null;
    throw error;
  }
}
