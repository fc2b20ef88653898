/**
 * `keys`: makes a key that deploys are signed with, or a token that somebody is known by. What the first is for is in
 * `lib/cluster/spec-keys.ts`, the second in `lib/control/identities.ts`.
 */
import type { Command } from 'commander';
import { print } from '../output.ts';
import { writeDeployKey, writeToken } from '../secret-files.ts';
import { type Around, formatOf, makeCommand, type Options, printing } from './common.ts';

export function keysVerb(around: Around): Command {
  return printing(
    makeCommand(
      'keys',
      'Make a deploy key: workers that have it sign what should run, and load nothing else. Or a token for the API.',
      ['millrace keys --out deploy-keys.pem'],
      ['millrace worker --deploy-keys deploy-keys.pem', 'a worker that has it'],
      ['millrace keys --token --out shop.token', 'a token, and what the access file says of it'],
    )
      .option('--token', 'make a token that somebody is known by to the API')
      .option('--out <file>', 'where to write it; nothing is overwritten (default: deploy-keys.pem, or api.token)'),
  ).action((options: Options) => {
    const { output } = formatOf(options);
    const isToken = options.token === true;
    const file = typeof options.out === 'string' ? options.out : isToken ? 'api.token' : 'deploy-keys.pem';
    if (isToken) {
      const hash = writeToken(file);
      const text = [
        `wrote ${file}: a token, which only you may read`,
        '',
        "next: give it to whoever is to have it (--token-file), and say in the workers' access file who that is:",
        '  - name: shop',
        `    token: ${hash}`,
        '    roles: [read, deploy:shop-*]',
      ].join('\n');
      return print(around.terminal, output, { file, token: hash }, () => text);
    }
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
    print(around.terminal, output, { id, file, publicKey: publicPem }, () => text);
  });
}
