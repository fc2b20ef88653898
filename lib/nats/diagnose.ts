/**
 * Why a server does not let us in: what the client's errors mean, asked of the server itself where they do not say. Every
 * text names what to change. Owns the two verdicts: what a person must mend (BROKER_REFUSED), and what may pass
 * (BROKER_UNAVAILABLE).
 */
import { connect } from 'node:net';
import { MillraceError, messageOf } from '../base/errors.ts';
import type { NatsOptions } from './connection.ts';

/** As a server greets; more is in it. */
interface Greeting {
  readonly version?: string;
  readonly tls_required?: boolean;
  readonly tls_verify?: boolean;
}

/** Atomic batches and markers of deleted keys came with 2.12. */
const VERSION_MIN = [2, 12] as const;
const GREETING_MS = 2_000;
const GREETING_CHARS_MAX = 8_192;
const NATS_PORT = 4222;
const CERTIFICATE =
  /^(?:UNABLE_TO_|CERT_|ERR_TLS_|ERR_SSL_|SELF_SIGNED|DEPTH_ZERO|INVALID_CA|HOSTNAME_MISMATCH|ERR_OSSL)/;

/** The error for a first connection that failed with `error`. */
export async function explainFailure(options: NatsOptions, error: unknown): Promise<MillraceError> {
  const servers = [options.servers].flat();
  const at = servers.join(', ');
  const code = String((error as { code?: unknown }).code ?? '');
  const refused = (why: string) =>
    new MillraceError('BROKER_REFUSED', `NATS at ${at} does not let us in: ${why}`, { cause: error });
  const away = (why: string) =>
    new MillraceError('BROKER_UNAVAILABLE', `cannot connect to NATS at ${at}: ${why}`, { cause: error });
  if ((error as { isAuthError?: () => boolean }).isAuthError?.() === true) return refused(loginText(options, error));
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return refused(`its certificate is for another name (${messageOf(error)}): connect by a name that is in it`);
  }
  if (CERTIFICATE.test(code)) {
    return refused(`its certificate is not trusted (${messageOf(error)}): give the CA that has signed it (NATS_CA)`);
  }
  if (code === 'SERVER_OPT_NA')
    return refused('it offers no TLS, and certificates are set here: unset NATS_CA, NATS_CERT and NATS_KEY');
  const line = await greetingOf(servers[0] ?? '');
  if (line === null) return away(`${messageOf(error)}; check the address, and that the server runs`);
  const greeting = readGreeting(line);
  if (greeting === null) {
    const said = line === '' ? 'nothing' : JSON.stringify(line.slice(0, 40));
    return away(`what listens at ${servers[0]} is no NATS server, it says ${said}; check the address`);
  }
  if (greeting.tls_required === true && greeting.tls_verify === true && options.tls?.certFile === undefined) {
    return refused('it demands a certificate of its clients: give one, and its key (NATS_CERT, NATS_KEY)');
  }
  return away(messageOf(error));
}

/** Throws BROKER_REFUSED. */
export function checkVersion(version: string, server: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > VERSION_MIN[0] || (major === VERSION_MIN[0] && minor >= VERSION_MIN[1])) return;
  throw new MillraceError(
    'BROKER_REFUSED',
    `the NATS server at ${server} is of version ${version}, and Millrace needs ${VERSION_MIN.join('.')} or later: update the server`,
  );
}

function loginText(options: NatsOptions, error: unknown): string {
  const { user, password, token, credentialsFile, nkeySeed } = options;
  const text = messageOf(error).replaceAll("'", '');
  if (credentialsFile !== undefined) return `${text}, with the credentials of ${credentialsFile} (NATS_CREDS)`;
  if (nkeySeed !== undefined) return `${text}, with the nkey given (NATS_NKEY)`;
  if (token !== undefined) return `${text}, with the token given (NATS_TOKEN)`;
  if (user !== undefined)
    return `${text}, as user ${user} ${password === undefined ? 'without a' : 'with the'} password (NATS_USER, NATS_PASSWORD)`;
  return `${text}: it wants a login, and none is given (NATS_USER and NATS_PASSWORD, NATS_TOKEN, NATS_NKEY or NATS_CREDS)`;
}

/** The first line of what listens there; empty: it says nothing. Null: nobody listens, or it cannot be asked like this. */
function greetingOf(server: string): Promise<string | null> {
  const address = /^(?:(?:nats|tls):\/\/)?(?:[^@/]*@)?(\[[^\]]+\]|[^:/]+)(?::(\d+))?\/?$/.exec(server);
  if (address === null) return Promise.resolve(null);
  return new Promise(resolve => {
    const host = address[1]!.replace(/^\[|\]$/g, '');
    const socket = connect({ host, port: Number(address[2] ?? NATS_PORT) });
    let text = '';
    const end = (line: string | null) => {
      socket.destroy();
      resolve(line);
    };
    socket.setEncoding('utf8');
    socket.setTimeout(GREETING_MS, () => end(text));
    // What waits for its client to begin is made to say something.
    socket.on('connect', () =>
      setTimeout(() => text === '' && socket.writable && socket.write('\r\n\r\n'), 200).unref(),
    );
    socket.on('data', chunk => {
      text += chunk;
      const lineEnd = text.indexOf('\n');
      if (lineEnd >= 0 || text.length > GREETING_CHARS_MAX)
        end(text.slice(0, lineEnd < 0 ? undefined : lineEnd).trim());
    });
    socket.on('end', () => end(text));
    socket.on('error', () => end(text === '' ? null : text));
  });
}

function readGreeting(line: string): Greeting | null {
  if (!line.startsWith('INFO ')) return null;
  try {
    return JSON.parse(line.slice(5)) as Greeting;
  } catch {
    return null; // begins like one, and is none
  }
}
