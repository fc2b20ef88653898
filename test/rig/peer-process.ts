/** A process that is a member and nothing else: answers whatever it is asked, until it is killed. */
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsPeers } from '../../lib/nats/peers.ts';

const [url = '', member = ''] = process.argv.slice(2);
const peers = new NatsPeers(await connectNats({ servers: url }), { member });
peers.answer(question => question);
