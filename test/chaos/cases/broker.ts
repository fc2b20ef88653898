/** The broker ends without a word and comes back on the same folder. */
import type { Case } from '../cases.ts';

const killBroker: Case = {
  name: 'kill-broker',
  about: 'SIGKILL of the broker, started again on its folder',
  weight: 2,
  async play(stage, random) {
    await stage.killBroker(random.between(0, 2_500));
  },
};

export default killBroker;
