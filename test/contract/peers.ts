/** The contract of the peers port, run against every implementation. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { sleep, systemClock } from '../../lib/base/clock.ts';
import { isMillraceError } from '../../lib/base/errors.ts';
import { ANSWER_BYTES_MAX, type Peers } from '../../lib/port/peers.ts';
import { until } from './registry.ts';

export interface PeersRig {
  /** A connection of a member of that name. */
  join(member: string): Promise<Peers>;
  remove(): Promise<void>;
}

const PATIENCE_MS = 5_000;
export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
export const text = (said: Uint8Array | string): string =>
  typeof said === 'string' ? `(${said})` : Buffer.from(said).toString();

/** What one hears, in order. */
export function heardBy(peers: Peers): string[] {
  const heard: string[] = [];
  peers.onBeat(payload => heard.push(text(payload)));
  return heard;
}

export function peersContract(name: string, makeRig: () => Promise<PeersRig>): void {
  describe(`the peers contract: ${name}`, () => {
    let rig: PeersRig;
    let a: Peers;
    let b: Peers;
    let round = 0;
    before(async () => {
      rig = await makeRig();
    });
    after(() => rig.remove());
    beforeEach(async () => {
      round++;
      a = await rig.join(`a${round}`);
      b = await rig.join(`b${round}`);
    });
    const ask = async (from: Peers, to: string, question: string, timeoutMs = PATIENCE_MS) =>
      text(await from.ask(to + round, bytes(question), timeoutMs));

    test('a beat reaches all who listen, whoever sent it too, in order', async () => {
      assert.equal(a.connections, 1);
      const [atA, atB] = [heardBy(a), heardBy(b)];
      for (const beat of ['1', '2', '3']) a.beat(bytes(beat));
      await until(() => atA.length === 3 && atB.length === 3, 'both have heard all');
      assert.deepEqual(
        [atA, atB],
        [
          ['1', '2', '3'],
          ['1', '2', '3'],
        ],
      );
    });

    test('a beat is what it was when it was sent, and each listener has it to himself', async () => {
      const heard: Uint8Array[] = [];
      b.onBeat(payload => heard.push(payload));
      b.onBeat(payload => heard.push(payload));
      const beat = bytes('beat');
      a.beat(beat);
      await sleep(systemClock, 0);
      beat.fill(0);
      await until(() => heard.length === 2, 'both have heard it');
      heard[0]!.fill(0);
      assert.equal(text(heard[1]!), 'beat');
    });

    test('a listener that has ended hears no more, nor does anybody who has stopped', async () => {
      const ended: string[] = [];
      const end = b.onBeat(payload => ended.push(text(payload)));
      const [atA, atB] = [heardBy(a), heardBy(b)];
      end();
      a.beat(bytes('1'));
      await until(() => atB.length === 1, 'it was heard');
      b.stop();
      b.beat(bytes('from whom has stopped'));
      a.beat(bytes('2'));
      await until(() => atA.length === 2, 'the second was heard');
      await sleep(systemClock, 50);
      assert.deepEqual([atA, atB, ended], [['1', '2'], ['1'], []]);
    });

    test('a question is answered by whom it is asked of, soon or later, and so is one to oneself', async () => {
      a.answer(question => bytes(`a: ${text(question)}`));
      b.answer(async question => {
        await sleep(systemClock, 20);
        return bytes(`b: ${text(question)}`);
      });
      assert.equal(await ask(a, 'b', 'x'), 'b: x');
      assert.equal(await ask(b, 'a', 'y'), 'a: y');
      assert.equal(await ask(a, 'a', 'z'), 'a: z');
    });

    test('many questions at once have each its own answer', async () => {
      b.answer(async question => {
        await sleep(systemClock, question[0]! % 7);
        return question;
      });
      const questions = Array.from({ length: 200 }, (_, i) => String.fromCharCode(65 + (i % 50)) + i);
      assert.deepEqual(await Promise.all(questions.map(question => ask(a, 'b', question))), questions);
    });

    test('nobody answers for a member that is not there, or has stopped', async () => {
      assert.equal(await ask(a, 'nobody', 'x'), '(nobody)');
      b.answer(() => bytes('here'));
      assert.equal(await ask(a, 'b', 'x'), 'here');
      b.stop();
      // What was on its way when it stopped is not answered.
      await until(async () => (await ask(a, 'b', 'x', 100)) === '(nobody)', 'nobody is there');
    });

    test('whoever does not answer in time is silent, and what he says then is nothing to later questions', async () => {
      assert.equal(await ask(a, 'b', 'x', 50), '(silent)');
      let letGo: ((answer: Uint8Array) => void) | null = null;
      const end = b.answer(() => new Promise(resolve => (letGo = resolve)));
      assert.equal(await ask(a, 'b', 'x', 100), '(silent)');
      end();
      letGo!(bytes('late'));
      b.answer(() => bytes('in time'));
      assert.equal(await ask(a, 'b', 'y'), 'in time');
    });

    test('of several who could answer the first one does to whom the question is', async () => {
      b.answer(question => (text(question) === 'x' ? bytes('one') : null));
      b.answer(async question => (text(question) === 'z' ? null : bytes('two')));
      assert.equal(await ask(a, 'b', 'x'), 'one');
      assert.equal(await ask(a, 'b', 'y'), 'two');
      assert.equal(await ask(a, 'b', 'z', 50), '(silent)');
    });

    test('an answer may be empty, or larger than any message', async () => {
      const large = new Uint8Array(ANSWER_BYTES_MAX).map((_, i) => i % 251);
      b.answer(question => (question.length === 0 ? new Uint8Array(0) : large));
      assert.equal(await ask(a, 'b', ''), '');
      const answer = await a.ask(`b${round}`, bytes('x'), 60_000);
      assert.ok(answer instanceof Uint8Array);
      assert.equal(Buffer.compare(answer, large), 0);
    });

    test('says so when a question or an answer is too large', async () => {
      b.answer(() => new Uint8Array(ANSWER_BYTES_MAX + 1));
      const isTooLarge = (error: unknown) => isMillraceError(error, 'MESSAGE_TOO_LARGE');
      await assert.rejects(ask(a, 'b', 'x'), isTooLarge);
      await assert.rejects(a.ask(`b${round}`, new Uint8Array(2 * 1024 * 1024), PATIENCE_MS), isTooLarge);
    });
  });
}
