import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { NatsLink } from '../../../lib/nats/connection.ts';
import { Feed, type FeedEvents } from '../../../lib/nats/feed.ts';
import type { NatsMessage } from '../../../lib/nats/message.ts';
import { InboundMessage, type InboundReceiver } from '../../../lib/nats/wire-reader.ts';

function frameOf(subject: string, { reply = '', head = '', data = '' }): InboundMessage {
  const bytes = Buffer.from(`MSG ${subject} ${reply} ${head}${data}`);
  const frame = new InboundMessage();
  const subjectTo = 4 + subject.length;
  const replyTo = subjectTo + 1 + reply.length;
  const dataFrom = replyTo + 1 + head.length;
  return Object.assign(frame, {
    bytes,
    subjectFrom: 4,
    subjectTo,
    replyFrom: subjectTo + 1,
    replyTo,
    headFrom: replyTo + 1,
    dataFrom,
    dataTo: bytes.length,
  });
}

/** A feed on a connection that is played by the test: what the server sends comes from `deliver` and `control`. */
describe('a feed', () => {
  let sent: { subject: string; reply: string }[] = [];
  let events: string[] = [];
  let messages: NatsMessage[] = [];
  let receive: (frame: InboundMessage) => void;
  let feed: Feed;

  beforeEach(() => {
    sent = [];
    events = [];
    messages = [];
    const wire = {
      publish: ({ subject }: { subject: string }, reply: string) => sent.push({ subject, reply }),
      subscribe: (_: string, receiver: InboundReceiver) => {
        receive = frame => receiver.receive(frame);
        return { stop: () => events.push('unsubscribed') };
      },
    };
    const told: FeedEvents = {
      message: (message, pending) => {
        messages.push(message);
        events.push(`${message.seq} pending ${pending}`);
      },
      pullEnded: ({ bytesShort }) => events.push(bytesShort ? 'ended short' : 'ended'),
      quiet: () => events.push('quiet'),
      broken: () => events.push('broken'),
    };
    const link = { wire, inbox: { root: '_INBOX' } } as unknown as NatsLink;
    feed = new Feed(link, 'consumer', { stream: 'S', subjects: null, from: 1, headersOnly: false, events: told });
    feed.pull(1_000);
  });

  function deliver(seq: number, consumerSeq: number, options: { pending?: number; reply?: string } = {}): void {
    const reply = `$JS.ACK.S.consumer.1.${seq}.${consumerSeq}.1795370037891340485.${options.pending ?? 0}`;
    receive(frameOf('s.a', { reply: options.reply ?? reply, data: `data ${seq}` }));
  }

  function control(status: string, headers = ''): void {
    receive(frameOf('_INBOX.x.1', { head: `NATS/1.0 ${status}\r\n${headers}\r\n` }));
  }

  const ended = 'Nats-Pending-Messages: 9\r\nNats-Pending-Bytes: 9\r\n';

  test('reads what a delivery says of itself', () => {
    deliver(907_199_254_740, 1, { pending: 12_345 });
    const [{ subject, seq, timeMs, data, headers } = assert.fail()] = messages;
    assert.deepEqual([subject, seq, timeMs, headers], ['s.a', 907_199_254_740, 1_795_370_037_891, null]);
    assert.equal(Buffer.from(data).toString(), 'data 907199254740');
    assert.equal(messages[0]?.data, data, 'the same object, however often it is looked at');
    assert.deepEqual(events, ['907199254740 pending 12345']);
  });

  test('reads the longer form, with domain and account', () => {
    deliver(7, 1, { reply: '$JS.ACK.hub.ACCHASH.S.consumer.1.77.1.1795370037891340485.5.rAnDoM' });
    assert.deepEqual(events, ['77 pending 5']);
    assert.equal(messages[0]!.timeMs, 1_795_370_037_891);
  });

  test('is broken by a delivery that is missing, and delivers nothing from then on', () => {
    deliver(1, 1);
    deliver(3, 3);
    deliver(4, 4);
    assert.deepEqual(events, ['1 pending 0', 'unsubscribed', 'broken']);
  });

  test('is broken by a heartbeat that knows of a delivery which never came', () => {
    deliver(1, 1);
    control('100 Idle Heartbeat', 'Nats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n');
    control('100 Idle Heartbeat', 'Nats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n');
    assert.deepEqual(events, ['1 pending 0', 'quiet', 'unsubscribed', 'broken']);
  });

  test('goes on after a request that ended: expired, filled, or stopped by its byte limit', () => {
    control('408 Request Timeout', ended);
    feed.pull(1_000);
    deliver(1, 1);
    control('409 Batch Completed', ended);
    feed.pull(1_000);
    deliver(2, 2);
    control('409 Message Size Exceeds MaxBytes', ended);
    feed.pull(1_000);
    control('404 No Messages');
    assert.deepEqual(events, ['ended', '1 pending 0', 'ended', '2 pending 0', 'ended', 'ended']);
    assert.equal(new Set(sent.map(({ reply }) => reply)).size, 4);
  });

  test('knows by itself that a request is filled to the byte: the server says nothing then', () => {
    const size = (seq: number) => `s.a$JS.ACK.S.consumer.1.${seq}.${seq}.1795370037891340485.0data ${seq}`.length;
    control('408 Request Timeout', ended);
    feed.pull(size(1) + size(2));
    deliver(1, 1);
    deliver(2, 2);
    feed.pull(size(3) + 1);
    deliver(3, 3);
    assert.deepEqual(events, ['ended', '1 pending 0', '2 pending 0', 'ended', '3 pending 0']);
    assert.equal(sent.length, 3);
  });

  test('says when its byte limit was too small for a single message', () => {
    control('409 Message Size Exceeds MaxBytes', ended);
    assert.deepEqual(events, ['ended short']);
  });

  for (const status of ['409 Consumer Deleted', '409 Server Shutdown', '503']) {
    test(`is broken when its consumer is gone: ${status}`, () => {
      control(status);
      assert.deepEqual(events, ['unsubscribed', 'broken']);
    });
  }

  test('has one request open at a time', () => {
    feed.pull(1_000);
    assert.equal(sent.length, 1);
  });
});
