/** Every command of the front page works for a newcomer. */
import { testCommandsOf } from './obey.ts';

testCommandsOf('README.md');
