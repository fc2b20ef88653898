/** Every command of the front page works for a newcomer, but for those of `commands-production.test.ts`. */
import { testCommandsOf } from './obey.ts';
import { PRODUCTION } from './texts.ts';

testCommandsOf('README.md', heading => heading !== PRODUCTION);
