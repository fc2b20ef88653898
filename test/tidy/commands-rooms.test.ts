/** Every command of the READMEs of rooms works for a newcomer. */
import { testCommandsOf } from './obey.ts';
import { readmes } from './texts.ts';

for (const file of readmes()) {
  // What examples say is run by test/examples/examples.test.ts: on one worker for all of them.
  if (file !== 'README.md' && !/^test\/examples\/\d/.test(file)) testCommandsOf(file);
}
