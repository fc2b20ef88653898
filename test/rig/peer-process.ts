/** A process that is a member and nothing else: beats, and answers whatever it is asked, until it is killed. */
import { systemClock } from '../../lib/base/clock.ts';
import { Members } from '../../lib/cluster/members.ts';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsPeers } from '../../lib/nats/peers.ts';

const [url = '', name = ''] = process.argv.slice(2);
const peers = new NatsPeers(await connectNats({ servers: url }), { cluster: 'c', member: name });
const instance = String(process.pid);
const says = {
  name,
  instance,
  zone: '',
  term: 0,
  capacity: 1,
  busy: 0,
  owned: 0,
  warm: 0,
  draining: false,
  version: '',
};
new Members({ clock: systemClock, peers, says: () => says }).start();
peers.answer(question => question);
