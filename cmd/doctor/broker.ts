/**
 * What `millrace doctor` looks at on the broker: can it be reached, is it new enough, what may we do there, and are the
 * streams that Millrace made still as they were made.
 */
import { isMillraceError } from '../../lib/base/errors.ts';
import { connectNats, type NatsLink, type NatsOptions } from '../../lib/nats/connection.ts';
import {
  accountFacts,
  clockDifferenceMs,
  missingPermissions,
  type StreamFacts,
  serverFacts,
  streamFacts,
} from '../../lib/nats/survey.ts';
import { AUDIT_STREAM, bucketStream, isOwnStream } from '../../lib/record/names.ts';
import { judgeStream } from '../../lib/topology/stream-settings.ts';
import { ownUse } from '../../lib/topology/stream-uses.ts';
import { bytes, count, span } from '../output.ts';
import { bad, type Finding, failed, good, warn } from './finding.ts';

const PAYLOAD_BYTES_MIN = 1024 * 1024;
/** From here on a limit is said to be near. */
const NEAR = 0.8;
const CLOCK_MS_MAX = 2_000;

export interface BrokerReport {
  readonly findings: readonly Finding[];
  /** Empty when the broker could not be asked. */
  readonly streams: readonly StreamFacts[];
}

/**
 * @param options.replicas that streams made by Millrace should have
 * @param options.bucket the cluster's
 */
export async function checkBroker(
  nats: NatsOptions,
  options: { readonly replicas: number; readonly bucket: string },
): Promise<BrokerReport> {
  const { bucket, replicas } = options;
  const findings: Finding[] = [];
  let link: NatsLink;
  try {
    link = await connectNats(nats);
  } catch (error) {
    const advice = isMillraceError(error, 'BROKER_UNAVAILABLE')
      ? 'start it, or say where it is with --nats or MILLRACE_NATS'
      : 'mend what the server complains of, and look again';
    return { findings: [failed('broker', error, advice)], streams: [] };
  }
  try {
    const server = serverFacts(link);
    findings.push(good('broker', `nats-server ${server.version}, ${server.name}`));
    findings.push(payloadOf(server.payloadBytesMax));
    try {
      findings.push(...accountOf(await accountFacts(link)));
    } catch (error) {
      const advice = 'start nats-server with -js, or enable JetStream for this account';
      const why = server.jetstream ? failed('jetstream', error, advice) : bad('jetstream', 'JetStream is off', advice);
      return { findings: [...findings, why], streams: [] };
    }
    const missing = await missingPermissions(link, bucket);
    findings.push(
      missing.length === 0
        ? good('permissions', 'all requests that a worker sends are permitted')
        : bad(
            'permissions',
            `not permitted: publish to ${missing.join(', ')}`,
            'let the user do what millrace permissions prints',
          ),
    );
    if (missing.includes('$JS.API.STREAM.LIST')) return { findings, streams: [] };
    const streams = await streamFacts(link);
    const own = streams.filter(({ name }) => isOwnStream(name, bucket));
    findings.push(replicasOf(own, { cluster: server.cluster, wanted: replicas }));
    // What the audit forgets in time is meant to go.
    const kept = own.filter(({ name }) => name !== AUDIT_STREAM);
    findings.push(...kept.flatMap(stream => ownStreamOf(stream, bucket)));
    const clock = streams[0] === undefined ? null : await clockDifferenceMs(link, streams[0].name);
    if (clock !== null) findings.push(clockOf('broker', clock));
    return { findings, streams };
  } finally {
    await link.close();
  }
}

function payloadOf(max: number): Finding {
  const text = `one message may have ${bytes(max)}`;
  if (max >= PAYLOAD_BYTES_MIN) return good('max_payload', text);
  return warn(
    'max_payload',
    text,
    `set max_payload to ${bytes(PAYLOAD_BYTES_MIN)} or more: larger rows become dead letters`,
  );
}

function accountOf(account: Awaited<ReturnType<typeof accountFacts>>): Finding[] {
  const { domain, storageBytes, storageBytesMax, streams, streamsMax, consumers, consumersMax } = account;
  const limits: readonly [what: string, used: number, max: number | null, show: (value: number) => string][] = [
    ['storage', storageBytes, storageBytesMax, bytes],
    ['streams', streams, streamsMax, count],
    ['consumers', consumers, consumersMax, count],
  ];
  return [
    good('jetstream', domain === null ? 'JetStream is on' : `JetStream is on, domain ${domain}`),
    ...limits.map(([what, used, max, show]) => {
      const text = `${show(used)} of ${max === null ? 'no limit' : show(max)} used`;
      if (max === null || used < max * NEAR) return good(`account ${what}`, text);
      return (used >= max ? bad : warn)(
        `account ${what}`,
        text,
        `raise the account's limit of ${what}, or delete what is not needed`,
      );
    }),
  ];
}

function replicasOf(own: readonly StreamFacts[], so: { cluster: string | null; wanted: number }): Finding {
  const few = own.filter(({ config }) => config.replicas < so.wanted);
  const behind = own.filter(({ config, replicasCurrent }) => replicasCurrent < config.replicas);
  if (so.wanted > 1 && so.cluster === null) {
    return bad(
      'replicas',
      `${so.wanted} replicas are wanted, and the server is in no cluster`,
      'set replicas to 1, or use a cluster',
    );
  }
  if (few.length > 0) {
    const text = `${few.map(({ name, config }) => `${name} has ${config.replicas}`).join(', ')}, wanted are ${so.wanted}`;
    return warn('replicas', text, `change them: nats stream edit NAME --replicas ${so.wanted}`);
  }
  if (behind.length > 0) {
    const text = behind
      .map(({ name, config, replicasCurrent }) => `${name}: ${replicasCurrent} of ${config.replicas} keep up`)
      .join(', ');
    return warn('replicas', text, 'see whether all servers of the cluster run');
  }
  if (so.cluster !== null && so.wanted === 1 && own.some(({ config }) => config.replicas === 1)) {
    return warn(
      'replicas',
      'streams have one replica in a cluster: a server that is lost takes them with it',
      'run workers with --replicas 3, and change the streams that are there',
    );
  }
  return good(
    'replicas',
    so.cluster === null ? 'one server, so one replica of each stream' : `${so.wanted} of each stream`,
  );
}

/** The bucket of the registry is made with these. */
const REGISTRY_OWN: readonly string[] = ['max_msgs_per_subject', 'allow_msg_ttl', 'subject_delete_marker_ttl'];

/** Somebody has changed what we made: each of these loses or refuses something sooner or later. */
function ownStreamOf(stream: StreamFacts, bucket: string): Finding[] {
  const { name, subjects } = stream;
  const verdicts = judgeStream(stream, ownUse(name.endsWith('_letters') ? 'letters' : 'own', subjects)).filter(
    ({ setting, verdict }) =>
      verdict === 'refused' && !(name === bucketStream(bucket) && REGISTRY_OWN.includes(setting)),
  );
  const check = `stream ${name}`;
  if (verdicts.length > 0) {
    const text = verdicts.map(({ setting, means }) => `${setting} (${means})`).join(', ');
    return [bad(check, `changed by hand: ${text}`, verdicts.map(({ todo }) => todo).join('; '))];
  }
  const { maxBytes } = stream.config;
  if (maxBytes !== null && stream.bytes >= maxBytes * NEAR) {
    return [
      warn(
        check,
        `${bytes(stream.bytes)} of ${bytes(maxBytes)} used`,
        'if it stays so, whoever writes there waits: see which pipeline lags',
      ),
    ];
  }
  return [good(check, `${count(stream.messages)} messages, ${bytes(stream.bytes)}`)];
}

export function clockOf(whose: string, differenceMs: number): Finding {
  const check = `clock of the ${whose}`;
  const ms = Math.abs(differenceMs);
  if (ms <= CLOCK_MS_MAX)
    return good(check, `within ${ms < 1_000 ? 'a second' : span(CLOCK_MS_MAX)} of this machine's`);
  const text = `${span(ms)} ${differenceMs > 0 ? 'ahead of' : 'behind'} this machine's`;
  return warn(
    check,
    text,
    'synchronise the clocks (NTP): messages are stamped by the broker’s, and so is what is said of them here',
  );
}
