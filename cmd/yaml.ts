/** YAML, loaded when it is first needed: most commands neither read nor print any, and would start later by a tenth. */
import { createRequire } from 'node:module';
import type Yaml from 'yaml';

let library: typeof Yaml | null = null;

export function yaml(): typeof Yaml {
  library ??= createRequire(import.meta.url)('yaml') as typeof Yaml;
  return library;
}
