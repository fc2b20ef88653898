/**
 * The network between one worker and the broker: a TCP proxy that can be told to misbehave.
 *
 * - `open`     passes everything on
 * - `shut`     closes what there is and refuses what comes: a cut that both sides notice
 * - `stalled`  holds everything back in both directions and takes new connections without a word: a cut that nobody
 *              notices. What was held is passed on when it opens again, or lost when it is shut
 * - `deaf`     loses what the broker says and passes on what the worker says: every answer is lost, every write lands. A
 *              stream with a hole is of no use, so whatever was deaf is closed when that ends
 */
import { connect, createServer, type Server, type Socket } from 'node:net';

export type CableMode = 'open' | 'shut' | 'stalled' | 'deaf';

interface Line {
  readonly near: Socket;
  readonly far: Socket;
}

export class Cable {
  readonly #server: Server;
  readonly #brokerPort: number;
  readonly #lines = new Set<Line>();
  #mode: CableMode = 'open';

  private constructor(brokerPort: number) {
    this.#brokerPort = brokerPort;
    this.#server = createServer(near => this.#join(near));
  }

  static async open({ brokerPort }: { brokerPort: number }): Promise<Cable> {
    const cable = new Cable(brokerPort);
    await new Promise<void>((resolve, reject) => {
      cable.#server.once('error', reject);
      cable.#server.listen(0, '127.0.0.1', resolve);
    });
    return cable;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen');
    return `nats://127.0.0.1:${address.port}`;
  }

  get mode(): CableMode {
    return this.#mode;
  }

  set(mode: CableMode): void {
    const before = this.#mode;
    this.#mode = mode;
    if (mode === 'shut' || before === 'deaf') this.#closeLines();
    for (const line of this.#lines) this.#regulate(line);
  }

  async stop(): Promise<void> {
    this.set('shut');
    await new Promise(resolve => this.#server.close(resolve));
  }

  #join(near: Socket): void {
    if (this.#mode === 'shut') {
      near.destroy();
      return;
    }
    const line = { near, far: connect(this.#brokerPort, '127.0.0.1') };
    const { far } = line;
    this.#lines.add(line);
    near.setNoDelay(true);
    far.setNoDelay(true);
    near.on('data', data => this.#pass(line, far, data));
    far.on('data', data => {
      if (this.#mode !== 'deaf') this.#pass(line, near, data);
    });
    for (const socket of [near, far]) {
      // What broke is closed on both sides; why it broke is nobody's question here.
      socket.on('error', () => this.#close(line));
      socket.on('close', () => this.#close(line));
      socket.on('drain', () => this.#regulate(line));
    }
    this.#regulate(line);
  }

  #pass(line: Line, to: Socket, data: Uint8Array): void {
    if (!to.write(data)) this.#regulate(line);
  }

  /** Reads from a side only while the other one can take it. */
  #regulate({ near, far }: Line): void {
    const isHeld = this.#mode === 'stalled';
    if (isHeld || far.writableNeedDrain) near.pause();
    else near.resume();
    if (isHeld || near.writableNeedDrain) far.pause();
    else far.resume();
  }

  #closeLines(): void {
    for (const line of this.#lines) this.#close(line);
  }

  #close(line: Line): void {
    this.#lines.delete(line);
    line.near.destroy();
    line.far.destroy();
  }
}
