/** `keys`: makes a key that deploys are signed with. What it is for is in `lib/cluster/spec-keys.ts`. */
import type { Command } from 'commander';
import { writeDeployKey } from '../deploy-keys.ts';
import { print } from '../output.ts';
import { type Around, formatOf, makeCommand, type Options, printing } from './common.ts';

export function keysVerb(around: Around): Command {
  return printing(
    makeCommand(
      'keys',
      'Make a deploy key: workers that have it sign what should run, and load nothing else.',
      ['millrace keys --out deploy-keys.pem'],
      ['millrace worker --deploy-keys deploy-keys.pem', 'a worker that has it'],
    ).option('--out <file>', 'where to write the private key; nothing is overwritten', 'deploy-keys.pem'),
  ).action((options: Options) => {
    const file = String(options.out);
    const { id, publicPem } = writeDeployKey(file);
    const text = [
      `wrote ${file}: the private key ${id}, which only you may read`,
      '',
      'next: give it to every worker, and deploy once more what runs already:',
      `  millrace worker --deploy-keys ${file}`,
      '',
      'its public part, for workers that only check:',
      publicPem.trimEnd(),
    ].join('\n');
    print(around.terminal, formatOf(options).output, { id, file, publicKey: publicPem }, () => text);
  });
}
