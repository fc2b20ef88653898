/**
 * Who needs which rights in NATS: for each role the subjects that its user must be permitted, and no others. Made from what
 * the names and questions of Millrace are made from (`lib/record/names.ts`, `lib/nats/rights.ts`) and from plans; pure.
 */
import {
  changingSubjects,
  GREETING_SUBJECT,
  lookingSubjects,
  readingSubjects,
  requestSubjects,
} from '../lib/nats/rights.ts';
import {
  AUDIT_SUBJECTS,
  blobsSubjects,
  bucketOf,
  bucketStream,
  bucketSubjects,
  internalSubjects,
  lettersStream,
  lettersSubjects,
  PEER_SUBJECTS,
} from '../lib/record/names.ts';
import { covers } from '../lib/record/subject.ts';
import { parseTemplate } from '../lib/record/template.ts';
import type { PlanSummary, SourceSummary } from '../lib/topology/summary.ts';

export interface Role {
  readonly role: 'worker' | 'publisher' | 'subscriber' | 'letters' | 'planner';
  readonly means: string;
  readonly publish: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  readonly subscribe: { readonly allow: readonly string[] };
}

export interface RolesOptions {
  readonly bucket: string;
  readonly inboxPrefix: string;
}

/** Where clients of others have their answers. */
const USUAL_INBOX = '_INBOX.>';
const ALL = '>';

/** @param plans of what runs; empty: the worker alone, whatever it will run, and not yet what that reads and writes. */
export function rolesFor(plans: readonly PlanSummary[], { bucket, inboxPrefix }: RolesOptions): Role[] {
  const names = plans.length === 0 ? [ANY] : plans.map(({ pipeline }) => pipeline);
  const sinks = plans.flatMap(plan => plan.sinks);
  const sources = plans.flatMap(sourcesOf);
  const streams = sources.filter(({ kind }) => kind === 'stream');
  const tables = sources.filter(({ kind }) => kind === 'kv').map(({ subject }) => bucketOf(subject));
  const results = sinks.map(({ target }) => parseTemplate(target.template).covers);
  const resultStreams = sinks.map(({ target }) => target.stream.name);
  // One that lists streams may read all that they hold: which of it is published anew, a person says.
  const inputs = streams.map(({ subject }) => subject).filter(subject => subject !== ALL);
  const letters = names.flatMap(name => lettersSubjects(name).filter(subject => !subject.startsWith('_mr.')));
  const worker = rights('worker', 'runs the pipelines; also doctor, and dev with a broker of yours', {
    publish: [
      ...requestSubjects({ bucket, stream: '*' }),
      bucketSubjects(bucket),
      blobsSubjects(bucket),
      ...names.map(internalSubjects),
      AUDIT_SUBJECTS,
      PEER_SUBJECTS,
      ...letters,
      ...results,
      // Replays of letters go back where they came from.
      ...inputs,
    ],
    deny: sources
      .filter(({ stream }) => !resultStreams.includes(stream))
      .flatMap(({ stream }) => changingSubjects(stream)),
    subscribe: [`${inboxPrefix}.>`, PEER_SUBJECTS],
  });
  if (plans.length === 0) return [worker];
  return [
    worker,
    rights('publisher', 'an application that sends records, and writes rows of tables', {
      publish: [
        ...inputs,
        ...tables.flatMap(table => [
          bucketSubjects(table),
          GREETING_SUBJECT,
          ...lookingAt(bucketStream(table), bucket),
        ]),
      ],
      subscribe: [USUAL_INBOX],
    }),
    rights('subscriber', 'an application that reads results', {
      publish: resultStreams.flatMap(readingSubjects),
      subscribe: [USUAL_INBOX, ...results],
    }),
    rights('letters', 'whoever reads dead letters and late records without the API', {
      publish: names.map(lettersStream).flatMap(readingSubjects),
      subscribe: [USUAL_INBOX, ...letters],
    }),
    rights('planner', 'millrace plan --nats', {
      publish: lookingSubjects({ bucket, stream: '*' }),
      subscribe: [USUAL_INBOX],
    }),
  ];
}

/** In the place of a pipeline's name: any. */
const ANY = '*';

function sourcesOf({ readers, stages }: PlanSummary): SourceSummary[] {
  return [...readers.map(({ source }) => source), ...stages.flatMap(({ direct }) => direct ?? [])];
}

/** To look at one stream, without lists of all. */
function lookingAt(stream: string, bucket: string): string[] {
  return lookingSubjects({ bucket, stream }).filter(subject => subject.endsWith(`.${stream}`));
}

function rights(
  role: Role['role'],
  means: string,
  given: { publish: readonly string[]; deny?: readonly string[]; subscribe: readonly string[] },
): Role {
  const { publish, deny = [], subscribe } = given;
  return {
    role,
    means,
    publish: { allow: fewest(publish), deny: fewest(deny) },
    subscribe: { allow: fewest(subscribe) },
  };
}

/** Each once, and none that another has in it. */
function fewest(subjects: readonly string[]): string[] {
  const once = [...new Set(subjects)];
  return once.filter(subject => !once.some(other => other !== subject && covers(other, subject))).sort();
}

/** As users in the configuration of a nats-server, each with its password from the environment. */
export function serverConfig(roles: readonly Role[]): string {
  const users = roles.flatMap(({ role, means, publish, subscribe }) => [
    `    # ${means}`,
    '    {',
    `      user: ${role}, password: $${role.toUpperCase()}_PASSWORD`,
    '      permissions: {',
    `        publish: { ${listText('allow', publish.allow)}${publish.deny.length === 0 ? '' : `, ${listText('deny', publish.deny)}`} }`,
    `        subscribe: { ${listText('allow', subscribe.allow)} }`,
    '      }',
    '    }',
  ]);
  return ['authorization {', '  users: [', ...users, '  ]', '}'].join('\n');
}

function listText(name: string, subjects: readonly string[]): string {
  return `${name}: [\n${subjects.map(subject => `          ${JSON.stringify(subject)}`).join('\n')}\n        ]`;
}
