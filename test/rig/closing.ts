/** What a program must undo before it ends, also when somebody presses Ctrl-C half-way: last first, and once. */
export class Closing {
  private readonly steps: (() => unknown)[] = [];
  private done: Promise<void> | null = null;
  /** Somebody wants the program to end: what fails from now on fails because of that. */
  interrupted = false;

  /** Something more to undo; at once when everything else is being undone already. */
  add(step: () => unknown): void {
    if (this.done === null) this.steps.push(step);
    else this.done = this.done.then(async () => void (await step()));
  }

  /** Undoes everything, once. */
  run(): Promise<void> {
    this.done ??= (async () => {
      for (const step of this.steps.reverse()) await step();
    })();
    return this.done;
  }

  /** Undoes everything at SIGINT and SIGTERM, and ends the process with code 130. */
  heedSignals(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        this.interrupted = true;
        void this.run().finally(() => process.exit(130));
      });
    }
  }
}
