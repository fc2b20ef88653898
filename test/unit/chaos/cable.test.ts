/** The proxy of the chaos program, between a server that sends back what it is sent and its clients. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { Cable } from '../../chaos/cable.ts';
import { until } from '../host/fakes.ts';

let heard = '';
const echo = createServer(socket => {
  socket.on('error', () => socket.destroy());
  socket.on('data', data => {
    heard += String(data);
    socket.write(data);
  });
});
let cable: Cable;
before(async () => {
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  cable = await Cable.open({ brokerPort: (echo.address() as { port: number }).port });
});
after(async () => {
  await cable.stop();
  echo.close();
});

function client() {
  const { port } = new URL(cable.url);
  const socket: Socket = connect(Number(port), '127.0.0.1');
  const state = { got: '', closed: false };
  socket.on('data', data => (state.got += String(data)));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => (state.closed = true));
  return { socket, state };
}

test('an open cable passes everything on, much at once too', async () => {
  const { socket, state } = client();
  const text = 'x'.repeat(5_000_000);
  socket.write(text);
  await until('all is back', () => state.got.length === text.length);
  socket.destroy();
});

test('a stalled one holds back what both sides say, and passes it on when it opens', async () => {
  const { socket, state } = client();
  socket.write('before ');
  await until('it is connected', () => state.got === 'before ');
  cable.set('stalled');
  socket.write('meanwhile');
  await new Promise(resolve => setTimeout(resolve, 100));
  assert.deepEqual(state, { got: 'before ', closed: false });
  cable.set('open');
  await until('the rest has come', () => state.got === 'before meanwhile');
  socket.destroy();
});

test('a deaf one loses what the server says, not what it is told, and ends its connections with that', async () => {
  const { socket, state } = client();
  socket.write('a');
  await until('it is connected', () => state.got === 'a');
  heard = '';
  cable.set('deaf');
  socket.write('b');
  await until('the server has heard it', () => heard === 'b');
  cable.set('open');
  await until('the connection is closed', () => state.closed);
  assert.equal(state.got, 'a');
});

test('one that is shut ends its connections and takes none', async () => {
  const before = client();
  before.socket.write('a');
  await until('it is connected', () => before.state.got === 'a');
  cable.set('shut');
  const later = client();
  await until('both are closed', () => before.state.closed && later.state.closed);
  cable.set('open');
});
