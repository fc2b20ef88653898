/** The outlets into files of a folder: a target is the name of a file there. Each task has files of its own. */
import type { Random } from '../../base/random.ts';
import type { OutletKind } from '../outlet.ts';
import { FileOutlet } from './file-outlet.ts';
import type { OpenRowsFile } from './rows-file.ts';

export function fileOutlets(ports: { open: OpenRowsFile; random: Random }): () => OutletKind {
  return () => ({
    way: ({ target }) => ({
      key: target,
      destination: target,
      outlet: options => new FileOutlet({ ...options, ...ports, name: target }),
    }),
  });
}
