/**
 * The HTTP side of a worker, for machines that watch it: `/metrics` for Prometheus, `/livez` and `/readyz` for probes.
 * It only shows what it is given functions for. No TLS and no passwords: let it listen where only those reach it who
 * should.
 *
 * Probes answer 200 or 503, with a JSON body that says why: `{"ok":false,"reasons":["…"]}`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MillraceError, messageOf } from '../base/errors.ts';

/** The answer of a probe: no reasons, no trouble. */
export interface Probe {
  readonly ok: boolean;
  /** What is missing, each a line for a person. */
  readonly reasons: readonly string[];
}

export function probeOf(reasons: readonly string[]): Probe {
  return { ok: reasons.length === 0, reasons };
}

export interface HttpOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  metrics(): Promise<{ readonly type: string; readonly text: string }>;
  live(): Probe;
  ready(): Probe;
}

const HELP = 'GET /metrics, /livez or /readyz\n';

export class ObserveServer {
  readonly #options: HttpOptions;
  readonly #server: Server;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(error => {
        if (!response.headersSent) response.writeHead(500, { 'Content-Type': 'text/plain' });
        response.end(`${messageOf(error)}\n`);
      });
    });
  }

  /** Returns the port. Throws INVALID_ARGUMENT when it cannot listen there. */
  async start(): Promise<number> {
    const { host, port } = this.#options;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen({ host, port }, resolve);
      });
    } catch (cause) {
      const text = `cannot serve metrics on ${host}:${port}: ${messageOf(cause)}; give another address with --metrics HOST:PORT, or --metrics off`;
      throw new MillraceError('INVALID_ARGUMENT', text, { cause });
    }
    return (this.#server.address() as AddressInfo).port;
  }

  async #answer({ method, url = '/' }: IncomingMessage, response: ServerResponse): Promise<void> {
    const send = (code: number, type: string, body: string) => {
      response.writeHead(code, { 'Content-Type': type, 'Cache-Control': 'no-store' });
      response.end(method === 'HEAD' ? undefined : body);
    };
    const probe = (answer: Probe) => send(answer.ok ? 200 : 503, 'application/json', `${JSON.stringify(answer)}\n`);
    if (method !== 'GET' && method !== 'HEAD') return send(405, 'text/plain', HELP);
    switch (url.split('?', 1)[0]) {
      case '/metrics': {
        const { type, text } = await this.#options.metrics();
        return send(200, type, text);
      }
      case '/livez':
        return probe(this.#options.live());
      case '/readyz':
        return probe(this.#options.ready());
      default:
        return send(404, 'text/plain', HELP);
    }
  }

  async stop(): Promise<void> {
    await new Promise<void>(resolve => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}
