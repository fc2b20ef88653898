/**
 * `doctor`: looks at broker, streams, worker and machine, and says of each whether it is as it should be. Changes nothing.
 */
import type { Command } from 'commander';
import { natsOptions, settle, settleOne } from '../config.ts';
import type { Finding, Verdict } from '../doctor/finding.ts';
import { EXIT_CODES } from '../exit.ts';
import { print } from '../output.ts';
import { known } from '../resources.ts';
import { NATS_SETTINGS, type SettingName } from '../settings.ts';
import type { Paint } from '../terminal.ts';
import {
  type Around,
  asking,
  flagsOf,
  formatOf,
  makeCommand,
  type Options,
  printing,
  settingOption,
  targetFor,
  withClient,
} from './common.ts';

const MARKS: Readonly<Record<Verdict, readonly [mark: string, paint: Paint]>> = {
  good: ['✓', 'good'],
  warn: ['!', 'warn'],
  bad: ['✗', 'bad'],
};

const SHOWN: readonly SettingName[] = [
  ...(['nats', 'natsCreds', 'natsCa', 'natsCert', 'natsKey', 'natsInboxPrefix'] as const),
  ...(['bucket', 'data', 'replicas'] as const),
];
const ANSWER_MS = 5_000;

export function doctorVerb(around: Around): Command {
  const command = makeCommand(
    'doctor',
    'Look at broker, streams, worker and machine, and say what is not as it should be. Changes nothing.',
    ['millrace doctor'],
    ['millrace doctor --nats nats://nats:4222 --server millrace.prod:4280'],
    ['millrace doctor -o json'],
  );
  for (const name of SHOWN) command.addOption(settingOption(name).helpGroup('What to look at:'));
  return asking(printing(command)).action(async (options: Options) => {
    const { terminal } = around;
    const flags = flagsOf([...NATS_SETTINGS, 'bucket', 'data', 'replicas'], options);
    const { dev, sources } = targetFor(options);
    const settings = settle([...NATS_SETTINGS, 'bucket', 'replicas'], { flags });
    // The project's own broker need not be at the usual port; another's may be.
    const isUnnamed = settleOne('nats', { flags }).source === 'default';
    const nats = isUnnamed && sources.server === 'dev' ? dev!.nats.split(',') : settings.nats;
    const [{ checkBroker }, { checkMachine, checkWorker }] = await Promise.all([
      import('../doctor/broker.ts'),
      import('../doctor/worker.ts'),
    ]);
    const machine = checkMachine({
      dataDir: settleOne('data', { flags }).value,
      nodeVersion: process.versions.node,
    });
    const findings = await withClient(
      around,
      options,
      async client => {
        const login = natsOptions({ ...settings, nats }, 'millrace doctor');
        const broker = await checkBroker(login, { replicas: settings.replicas, bucket: settings.bucket });
        return [...machine, ...broker.findings, ...(await checkWorker(client, broker.streams))];
      },
      ANSWER_MS,
    );
    const ill = findings.some(({ verdict }) => verdict === 'bad');
    print(terminal, formatOf(options).output, known({ ok: !ill, findings }), () => {
      const width = Math.max(...findings.map(({ check }) => check.length));
      const line = ({ check, verdict, text, advice }: Finding) => {
        const [mark, paint] = MARKS[verdict];
        const first = `${terminal.paint(paint, mark)} ${check.padEnd(width)}  ${text.replaceAll('\n', ' ')}`;
        return advice === null ? first : `${first}\n  ${' '.repeat(width)}  → ${advice}`;
      };
      return findings.map(line).join('\n');
    });
    if (ill) around.exit(EXIT_CODES.failed.code);
  });
}
