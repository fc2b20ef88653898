/**
 * The peers port: what members of a cluster say to each other, past all streams. Nothing of it is kept: what nobody hears is
 * lost, and whoever says it does not learn of it. Implemented by `nats/` (core NATS) and `memory/`; both pass
 * `test/contract/peers.ts`. What is said is its users'.
 */

/** The longest answer. */
export const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/**
 * - `nobody`  no process hears questions to that member: it has ended, or its connection has
 * - `silent`  there is no answer in time, or no connection to ask over: nobody knows
 */
export type PeerAnswer = Uint8Array | 'nobody' | 'silent';

/** Null: the question is not for this one. Must not throw, nor keep the question. */
export type Answerer = (question: Uint8Array) => Uint8Array | null | Promise<Uint8Array | null>;

export interface Peers {
  /** How many messages were passed over because no peer can have sent them. */
  readonly strays: number;
  /** Grows with each connection that begins: the others may still be dialling, too. */
  readonly connections: number;
  /** Tells all who listen, oneself too: who hears his own is heard by the others. */
  beat(payload: Uint8Array): void;
  /** Returns a function that ends it. What is heard is the listener's to keep; a stranger may have said it. */
  onBeat(listener: (payload: Uint8Array) => void): () => void;
  /**
   * Asks whoever goes by that name. Of two the first to answer is heard. Throws MESSAGE_TOO_LARGE when the question is
   * larger than one message, or the answer than `ANSWER_BYTES_MAX`.
   */
  ask(member: string, question: Uint8Array, timeoutMs: number): Promise<PeerAnswer>;
  /** Answers from now on; of several the first that does not say null. Returns a function that ends it. */
  answer(answerer: Answerer): () => void;
  stop(): void;
}

/** The first answer that is one; null: nobody has any. */
export async function answerOf(answerers: Iterable<Answerer>, question: Uint8Array): Promise<Uint8Array | null> {
  for (const answerer of [...answerers]) {
    const answer = await answerer(question);
    if (answer !== null) return answer;
  }
  return null;
}
