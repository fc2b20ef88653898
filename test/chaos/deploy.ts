/** Deploys `story.ts`, each time with other code and the same meaning. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundlePipeline } from '../../lib/bundle/bundle.ts';
import type { AdminClient } from '../../lib/control/client.ts';

const EDITION = 'const EDITION = 0;';

/** @param options.edition a number that no other deploy had. `folder`: where the file is written. */
export async function deployEdition(
  client: AdminClient,
  { edition, folder }: { edition: number; folder: string },
): Promise<void> {
  const text = await readFile(new URL('story.ts', import.meta.url), 'utf8');
  if (!text.includes(EDITION)) throw new Error(`story.ts has no line ${EDITION}`);
  const file = join(folder, 'story.ts');
  await writeFile(file, text.replace(EDITION, `const EDITION = ${edition};`));
  await client.deploy(await bundlePipeline(file));
}
