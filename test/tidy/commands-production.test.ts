/** Every command that the front page tells for production works for a newcomer. */
import { testCommandsOf } from './obey.ts';
import { PRODUCTION } from './texts.ts';

testCommandsOf('README.md', heading => heading === PRODUCTION);
