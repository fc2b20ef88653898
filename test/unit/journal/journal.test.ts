/** The journal: *one owner* at a time, *nothing missing*, *all or none*, and a *safe cut* (`journal/writer.ts`). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { Random } from '../../../lib/base/random.ts';
import { type Commit, checksum, decodeHead, encodeCommit, encodeMessage } from '../../../lib/journal/entry.ts';
import { EMPTY_OUTBOX } from '../../../lib/journal/outbox.ts';
import { JournalReader, type StoredCommit } from '../../../lib/journal/reader.ts';
import { JournalWriter } from '../../../lib/journal/writer.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { NO_COUNTS } from '../../../lib/observe/counts.ts';
import type { Log, StoredMessage } from '../../../lib/port/log.ts';
import { withCall, withCalls } from '../outlet/rig.ts';

const stream = 'J';
const subject = 'j.0';

async function makeWorld(messageBytesMax = 1 << 20) {
  const clock = new SimClock({ random: new Random(3) });
  const broker = new MemoryBroker({ clock, random: new Random(4), messageBytesMax });
  const log = broker.client('worker');
  await log.ensureStream({ name: stream, subjects: ['j.>'] });
  let owners = 0;
  const journal = (options: About = {}) =>
    new JournalWriter({
      clock,
      random: new Random(++owners),
      stream,
      subject,
      log: options.log ?? log,
      revision: options.revision ?? 1,
      assignment: options.assignment ?? 1,
    });
  const claimed = async (options: About = {}) => {
    const made = journal(options);
    await made.claim();
    return made;
  };
  /** What there is up to an owner's claim: its last run, and all that was said. */
  const read = async ({ claimSeq }: JournalWriter) => {
    const reader = new JournalReader({ log, stream, subject });
    let commits: StoredCommit[] = [];
    let begun = { crcBefore: 0, commit: 0 };
    const kinds: string[] = [];
    while (reader.seq < claimSeq) {
      for (const step of await reader.next(claimSeq)) {
        kinds.push(step.kind);
        if (step.kind === 'run') [commits, begun] = [[], { crcBefore: step.crcBefore, commit: step.commit }];
        if (step.kind === 'commit') commits.push(step.commit);
      }
    }
    await reader.stop();
    return { commits, ...begun, kinds, cutSteps: reader.cutSteps };
  };
  const all = async (owner: JournalWriter): Promise<StoredCommit[]> => (await read(owner)).commits;
  return { clock, broker, log, journal, claimed, read, all };
}

interface About {
  readonly log?: Log;
  readonly revision?: number;
  readonly assignment?: number;
}

function commitOf(journal: JournalWriter, changes: Partial<Commit> = {}): Commit {
  const commit = journal.commit + 1;
  return {
    epoch: journal.epoch,
    commit,
    positions: { orders: commit * 10 },
    watermarkMs: commit * 1_000,
    dueMs: commit * 1_000,
    delta: new Uint8Array([commit & 255]),
    outbox: EMPTY_OUTBOX,
    relayedThrough: commit - 1,
    tails: { sink: commit },
    snapshot: 0,
    isCheckpoint: false,
    counts: NO_COUNTS,
    ...changes,
  };
}

const numbers = (commits: readonly StoredCommit[]): number[] => commits.map(({ commit }) => commit);
const is =
  (code: 'FENCED' | 'REVISION_OUTDATED' | 'ASSIGNMENT_OUTDATED' | 'JOURNAL_CORRUPT' | 'CHAIN_BROKEN' | 'INVARIANT') =>
  (error: unknown) =>
    isMillraceError(error, code);
const large = (bytes: number) => Uint8Array.from({ length: bytes }, (_, i) => i % 251);

describe('the journal', () => {
  test('gives back what was committed, with where it stands, whole and in order', async () => {
    const { claimed, broker, all } = await makeWorld();
    const owner = await claimed();
    assert.equal(owner.epoch, 1);
    const written = [];
    const landed = [];
    for (let i = 0; i < 3; i++) {
      const commit = commitOf(owner, { delta: i === 1 ? null : large(i * 10) });
      landed.push(await owner.append(commit));
      written.push(commit);
    }
    const next = await claimed();
    assert.deepEqual([next.epoch, next.commit], [2, 3]);
    const read = await all(next);
    assert.deepEqual(
      read.map(({ firstSeq, lastSeq, crc, bytes, timeMs, ...commit }) => ({
        ...commit,
        delta: commit.delta && new Uint8Array(commit.delta),
      })),
      written,
    );
    assert.deepEqual(
      read.map(({ firstSeq, lastSeq, crc }) => ({ firstSeq, lastSeq, crc })),
      landed.map(({ firstSeq, lastSeq, crc }) => ({ firstSeq, lastSeq, crc })),
    );
    assert.equal(read[2]!.crc, checksum(broker.stream(stream)!.at(read[2]!.lastSeq)!.data));
  });

  test('is read up to a message as far as one likes: what comes later is not the past', async () => {
    const { claimed, all, log } = await makeWorld();
    const owner = await claimed();
    await owner.append(commitOf(owner));
    await owner.append(commitOf(owner));
    assert.deepEqual(numbers(await all(owner)), []);
    const reader = new JournalReader({ log, stream, subject });
    while (reader.seq < owner.claimSeq) await reader.next(owner.claimSeq);
    assert.deepEqual([reader.seq, await reader.next(owner.claimSeq)], [owner.claimSeq, []]);
    const rest = await reader.next();
    assert.deepEqual(
      rest.map(({ kind }) => kind),
      ['commit', 'commit'],
    );
  });

  test('is followed as it grows, whoever owns it, by who says when there is nothing more', async () => {
    const { claimed, log } = await makeWorld(4_096);
    const reader = new JournalReader({ log, stream, subject });
    const said: string[] = [];
    const upToDate = async () => {
      do {
        for (const step of await reader.next()) {
          said.push(step.kind === 'commit' ? `${step.commit.epoch}.${step.commit.commit}` : step.kind);
        }
      } while (!reader.isAtEnd);
      return said.splice(0).join(' ');
    };
    assert.equal(await upToDate(), '');
    const owner = await claimed();
    await owner.append(commitOf(owner, { delta: large(9_000) }));
    assert.equal(await upToDate(), 'run claim 1.1');
    await owner.append(commitOf(owner));
    assert.equal(await upToDate(), '1.2');
    await owner.release();
    const next = await claimed();
    await next.append(commitOf(next));
    assert.equal(await upToDate(), 'release claim 2.3');
    const waiting = reader.next();
    reader.interrupt();
    assert.deepEqual(await waiting, []);
    const left = reader.next();
    await reader.stop();
    await assert.rejects(left, { code: 'BROKER_UNAVAILABLE' });
  });

  test('is taken over by the same and by newer revisions, and by no older one (*one owner*)', async () => {
    const { claimed } = await makeWorld();
    const owner = await claimed({ revision: 3 });
    await owner.append(commitOf(owner));
    await assert.rejects(claimed({ revision: 2 }), is('REVISION_OUTDATED'));
    // It has written nothing: the owner goes on.
    await owner.append(commitOf(owner));
    const next = await claimed({ revision: 4 });
    await assert.rejects(owner.append(commitOf(owner)), is('FENCED'));
    await next.append(commitOf(next));
    await next.release();
    await assert.rejects(claimed({ revision: 3 }), is('REVISION_OUTDATED'));
    assert.equal((await claimed({ revision: 4 })).commit, 3);
  });

  test('is taken over by the same and by newer assignments of a revision, and by no older one (*one owner*)', async () => {
    const { claimed, journal } = await makeWorld();
    const owner = await claimed({ revision: 2, assignment: 7 });
    await owner.append(commitOf(owner));
    await assert.rejects(claimed({ revision: 2, assignment: 6 }), is('ASSIGNMENT_OUTDATED'));
    await assert.rejects(claimed({ revision: 1, assignment: 9 }), is('REVISION_OUTDATED'));
    await owner.append(commitOf(owner));
    const again = await claimed({ revision: 2, assignment: 7 });
    await assert.rejects(owner.append(commitOf(owner)), is('FENCED'));
    await again.append(commitOf(again));
    await claimed({ revision: 2, assignment: 8 });
    await assert.rejects(again.append(commitOf(again)), is('FENCED'));
    await assert.rejects(journal({ revision: 2, assignment: 7 }).look(), is('ASSIGNMENT_OUTDATED'));
    // The revision says more: a newer one may have heard of fewer assignments.
    assert.equal((await claimed({ revision: 3, assignment: 1 })).commit, 3);
    await assert.rejects(claimed({ revision: 2, assignment: 8 }), is('REVISION_OUTDATED'));
  });

  test('that is empty begins where it is told to, and no other does', async () => {
    const { journal, read } = await makeWorld();
    const owner = journal();
    assert.equal(await owner.look(), null);
    await owner.claim({ commit: 5, crc: 77 });
    assert.equal(owner.commit, 5);
    await owner.append(commitOf(owner));
    const next = journal();
    await next.claim({ commit: 9, crc: 1 });
    assert.equal(next.commit, 6);
    const { commits, commit, crcBefore } = await read(next);
    assert.deepEqual([numbers(commits), commit, crcBefore], [[6], 5, 77]);
  });

  test('lays a large commit into parts and reads it as one (*all or none*)', async () => {
    const { claimed, broker, all } = await makeWorld(4_096);
    const owner = await claimed();
    const before = broker.stream(stream)!.lastSeq;
    const { firstSeq, lastSeq } = await owner.append(commitOf(owner, { delta: large(9_000) }));
    assert.equal(firstSeq, before + 1);
    assert.ok(lastSeq - firstSeq >= 3);
    await owner.append(commitOf(owner));
    const next = await claimed();
    const read = await all(next);
    assert.deepEqual(numbers(read), [1, 2]);
    assert.deepEqual(new Uint8Array(read[0]!.delta!), large(9_000));
    assert.deepEqual([read[0]!.firstSeq, read[0]!.lastSeq], [firstSeq, lastSeq]);
  });

  test('passes over the parts of an owner that died between them, and gives the number again (*all or none*)', async () => {
    for (let dead = 1; dead <= 3; dead++) {
      const { claimed, log, all } = await makeWorld(4_096);
      let left = 2 + dead;
      const dying = withCall(
        log,
        'append',
        really => message => (left-- > 0 ? really(message) : new Promise(() => {})),
      );
      const owner = await claimed({ log: dying });
      await owner.append(commitOf(owner));
      void owner.append(commitOf(owner, { delta: large(9_000) }));
      await new Promise(resolve => setImmediate(resolve));
      const next = await claimed();
      assert.equal(next.commit, 1);
      assert.deepEqual(numbers(await all(next)), [1]);
      // As many parts again, and of another length, so that nothing of the dead one can pass for a part.
      await next.append(commitOf(next, { delta: large(8_500) }));
      await next.append(commitOf(next));
      const third = await claimed();
      const read = await all(third);
      assert.deepEqual(numbers(read), [1, 2, 3], `died after part ${dead}`);
      assert.deepEqual(new Uint8Array(read[1]!.delta!), large(8_500));
      assert.deepEqual(
        read.map(({ epoch }) => epoch),
        [1, 2, 2],
      );
    }
  });

  test('fences the former owner at its next append, in the middle of a commit too (*one owner*)', async () => {
    const { claimed, log, all } = await makeWorld(4_096);
    const owner = await claimed();
    await owner.append(commitOf(owner));
    const next = await claimed();
    await assert.rejects(owner.append(commitOf(owner)), is('FENCED'));
    assert.equal(owner.commit, 1);
    await next.append(commitOf(next));

    let parts = 0;
    let third: JournalWriter | null = null;
    const raced = withCall(log, 'append', really => async message => {
      if (decodeHead(message.data).kind === 'commit' && ++parts === 2) third = await claimed();
      return really(message);
    });
    const late = await claimed({ log: raced });
    await assert.rejects(late.append(commitOf(late, { delta: large(9_000) })), is('FENCED'));
    assert.equal(third!.commit, 2);
    assert.deepEqual(numbers(await all(third!)), [1, 2]);
  });

  test('lets one of two claim at once, then the other, and the first is fenced (*one owner*)', async () => {
    const { claimed, log, journal } = await makeWorld();
    const rival = journal();
    let raced = false;
    const twisted = withCall(log, 'append', really => async message => {
      if (!raced) {
        raced = true;
        await rival.claim();
      }
      return really(message);
    });
    const owner = await claimed({ log: twisted });
    assert.deepEqual([rival.epoch, owner.epoch], [1, 2]);
    await assert.rejects(rival.append(commitOf(rival)), is('FENCED'));
    await owner.append(commitOf(owner));
  });

  test('goes on after a release as after a claim, and a release by a fenced owner changes nothing', async () => {
    const { claimed, all } = await makeWorld();
    const owner = await claimed();
    await owner.append(commitOf(owner));
    await owner.release();
    const next = await claimed();
    assert.deepEqual([next.epoch, next.commit], [2, 1]);
    await owner.release();
    await next.append(commitOf(next));
    assert.deepEqual(numbers(await all(await claimed())), [1, 2]);
  });

  test('takes only the next number, of its own epoch', async () => {
    const { claimed } = await makeWorld();
    const owner = await claimed();
    await assert.rejects(owner.append(commitOf(owner, { commit: 2 })), is('INVARIANT'));
    await assert.rejects(owner.append(commitOf(owner, { epoch: 2 })), is('INVARIANT'));
  });

  test('says that it is corrupt when a message is not one that can follow (*nothing missing*)', async () => {
    for (const wrong of ['number', 'version', 'short'] as const) {
      const { claimed, log, all } = await makeWorld();
      const owner = await claimed();
      for (let i = 0; i < 2; i++) await owner.append(commitOf(owner));
      const tail = (await log.last({ stream, subject }))!;
      const head = {
        kind: 'commit',
        part: 0,
        parts: 1,
        epoch: 1,
        revision: 1,
        assignment: 1,
        commit: 3,
        crcBefore: checksum(tail.data),
      } as const;
      const changes = wrong === 'number' ? { commit: 4 } : {};
      const bytes = encodeMessage({ ...head, ...changes }, encodeCommit(commitOf(owner)));
      if (wrong === 'version') bytes[0] = 9;
      await log.append({ subject, data: wrong === 'short' ? bytes.subarray(0, 21) : bytes, expect: tail.seq });
      await assert.rejects(async () => all(await claimed()), is('JOURNAL_CORRUPT'), wrong);
    }
  });

  test('is read back as far as nothing is missing, and says after what that begins (*nothing missing*)', async () => {
    const { claimed, log, broker, read } = await makeWorld();
    const owner = await claimed();
    const landed = [];
    for (let i = 0; i < 5; i++) landed.push(await owner.append(commitOf(owner)));
    const next = await claimed();
    const whole = await read(next);
    assert.deepEqual([numbers(whole.commits), whole.crcBefore, whole.commit], [[1, 2, 3, 4, 5], 0, 0]);
    await log.remove({ stream, seq: landed[0]!.lastSeq });
    await log.remove({ stream, seq: landed[2]!.lastSeq });
    const rest = await read(next);
    assert.deepEqual([numbers(rest.commits), rest.crcBefore, rest.commit], [[4, 5], landed[2]!.crc, 3]);
    assert.equal(rest.commits[0]!.timeMs, broker.stream(stream)!.at(landed[3]!.lastSeq)!.timeMs);
  });

  test('is confirmed until a later owner has claimed it, also by a leader that learns of that late', async () => {
    const { claimed, clock, log } = await makeWorld();
    let stale: StoredMessage | null = null;
    let readings = 0;
    const late = withCalls(log, { last: async about => (readings++ < 3 ? stale : null) ?? (await log.last(about)) });
    const owner = await claimed({ log: late });
    await owner.append(commitOf(owner));
    await clock.runThrough(owner.confirm());
    stale = await log.last({ stream, subject });
    await claimed();
    readings = 0;
    await assert.rejects(clock.runThrough(owner.confirm()), is('FENCED'));
    assert.equal(readings, 4);
    // Its own append has met the later owner before.
    readings = 3;
    await assert.rejects(owner.append(commitOf(owner)), is('FENCED'));
    await assert.rejects(clock.runThrough(owner.confirm()), is('FENCED'));
  });

  test('says so when somebody who is no later owner appends to it', async () => {
    const { claimed, log } = await makeWorld();
    const owner = await claimed();
    await owner.append(commitOf(owner));
    const tail = (await log.last({ stream, subject }))!;
    await log.append({ subject, data: tail.data, expect: tail.seq });
    await assert.rejects(owner.append(commitOf(owner)), is('CHAIN_BROKEN'));
  });

  test('keeps, when it is cut, all from the given message on, and reads on from there (*safe cut*)', async () => {
    const { claimed, all, read } = await makeWorld(4_096);
    const owner = await claimed();
    for (let i = 0; i < 4; i++) await owner.append(commitOf(owner, { delta: large(5_000) }));
    const { lastSeq } = await owner.append(commitOf(owner, { delta: large(5_000) }));
    for (let i = 0; i < 2; i++) await owner.append(commitOf(owner));
    await owner.cut(lastSeq + 1);
    const next = await claimed();
    assert.deepEqual(numbers(await all(next)), [6, 7]);
    await next.append(commitOf(next));
    // A cut in the middle of an entry leaves parts that nobody needs.
    const large9 = await next.append(commitOf(next, { delta: large(5_000) }));
    const { firstSeq } = await next.append(commitOf(next));
    await next.cut(firstSeq - 1);
    const { commits, commit, crcBefore } = await read(await claimed());
    assert.deepEqual([numbers(commits), commit, crcBefore], [[10], 9, large9.crc]);
  });

  test('is cut in steps, between which others have their turn, of few messages or few bytes (*safe cut*)', async () => {
    const { claimed, clock, log, read } = await makeWorld();
    const trims: { messages: number; bytes: number; atMs: number }[] = [];
    let landed: { seq: number; bytes: number }[] = [];
    const watched = withCalls(log, {
      async append(message) {
        const outcome = await log.append(message);
        if (outcome.kind === 'landed') landed.push({ seq: outcome.seq, bytes: message.data.length });
        return outcome;
      },
      async trim(options) {
        const gone = landed.filter(({ seq }) => seq < options.before);
        landed = landed.slice(gone.length);
        const dropped = gone.reduce((sum, { bytes }) => sum + bytes, 0);
        trims.push({ messages: gone.length, bytes: dropped, atMs: clock.monotonic() });
        await log.trim(options);
      },
    });
    const owner = await claimed({ log: watched });
    for (let i = 0; i < 300; i++) await owner.append(commitOf(owner));
    for (let i = 0; i < 4; i++) await owner.append(commitOf(owner, { delta: large(700_000) }));
    const { firstSeq } = await owner.append(commitOf(owner));
    await clock.runThrough(owner.cut(firstSeq));
    const [messages, bytes] = [Math.max(...trims.map(one => one.messages)), Math.max(...trims.map(one => one.bytes))];
    assert.ok(messages <= 130 && bytes < 1_800_000, `${messages} messages, ${bytes} bytes in one step`);
    assert.deepEqual(
      trims.map(({ atMs }, i) => i === 0 || atMs > trims[i - 1]!.atMs),
      trims.map(() => true),
    );
    // The steps of what was read back go on where a former owner's were.
    const next = await claimed({ log: watched });
    const back = await read(next);
    assert.deepEqual(numbers(back.commits), [305]);
    next.adopt(back.cutSteps);
    for (let i = 0; i < 140; i++) await next.append(commitOf(next));
    trims.length = 0;
    await clock.runThrough(next.cut((await next.append(commitOf(next))).firstSeq));
    assert.equal(trims.length, 2);
    // Whoever has no more time for it lets the rest be: the next cut drops it.
    for (let i = 0; i < 300; i++) await next.append(commitOf(next));
    trims.length = 0;
    const { firstSeq: cutTo } = await next.append(commitOf(next));
    await clock.runThrough(next.cut(cutTo, { isOver: () => true }));
    assert.equal(trims.length, 1);
  });
});
