/** Whether a message's subject is its source's: asked of every message, so that nothing hangs on what its stream is given. */
import { isInternal } from '../record/names.ts';
import { matches } from '../record/subject.ts';

export class SubjectFilter {
  #filter: string;
  /** The subject that was asked for last, and the answer: neighbours mostly share it. */
  #subject = '';
  #isOurs = false;

  constructor(filter: string) {
    this.#filter = filter;
  }

  takes(subject: string): boolean {
    if (subject === this.#subject) return this.#isOurs;
    this.#subject = subject;
    // What Millrace keeps beside the results of others, in the same stream, is nobody's record.
    this.#isOurs = matches(this.#filter, subject) && !isInternal(subject);
    return this.#isOurs;
  }
}
