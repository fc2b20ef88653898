/**
 * How much a batch has made so far, counted by whoever makes a part of its commit: about as many bytes as its outbox will
 * have. Beyond `bytesMax` nothing more is taken in, as the batch will not be committed.
 */
export class BatchSize {
  bytes = 0;
  readonly bytesMax: number;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get outgrown(): boolean {
    return this.bytes > this.bytesMax;
  }
}
