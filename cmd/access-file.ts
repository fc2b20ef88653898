/** The access file of a worker: YAML, read when it starts and whenever it changes. What stands in it: `lib/control/identities.ts`. */
import { MillraceError } from '../lib/base/errors.ts';
import type { FileSource } from '../lib/control/files.ts';
import { type KnownIdentity, parseIdentities } from '../lib/control/identities.ts';
import { readYaml } from './config-file.ts';

export function accessFile(file: string): FileSource<readonly KnownIdentity[]> {
  return {
    file,
    read() {
      const document = readYaml(file);
      if (document !== null) return parseIdentities(document.toJS(), file);
      throw new MillraceError(
        'INVALID_ARGUMENT',
        `there is no access file ${file}; give the path of one with --access`,
      );
    },
  };
}
