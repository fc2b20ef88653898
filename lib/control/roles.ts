/**
 * Roles and whoever has them. A grant is a role, for pipelines of a pattern, written as in the access file: `read`,
 * `deploy:shop-*`. Roles add up and none implies another, but for `admin`. Which method asks for which is in `rules.ts`,
 * how it is found out who calls in `admission.ts`.
 */
import { MillraceError } from '../base/errors.ts';
import type { Caller as ServiceCaller } from '../service/caller.ts';

/** What each role is for. */
export const ROLES = {
  read: 'list and describe what runs, and see events',
  data: 'see state, and the contents of letters',
  operate: 'pause, resume and restart, advance a source, replay and discard letters, see the audit',
  deploy: 'plan, deploy and delete',
  peer: 'pass on the calls of others, as workers do among themselves',
  admin: 'all of these but peer',
} as const;

export type Role = keyof typeof ROLES;

export interface Grant {
  readonly role: Role;
  /** `*` stands for any number of characters. */
  readonly pipelines: string;
}

/** Somebody whom the workers know. */
export interface Identity {
  readonly name: string;
  readonly grants: readonly Grant[];
}

const GRANT = /^([a-z]+)(?::([a-z0-9*-]{1,40}))?$/;
const ALL = '*';

/** Reads `ROLE` or `ROLE:PATTERN`; null: it is neither. */
export function parseGrant(text: string): Grant | null {
  const [, role = '', pipelines = ALL] = GRANT.exec(text) ?? [];
  if (!Object.hasOwn(ROLES, role)) return null;
  // Calls are passed on whole.
  return role === 'peer' && pipelines !== ALL ? null : { role: role as Role, pipelines };
}

export function grantText({ role, pipelines }: Grant): string {
  return pipelines === ALL ? role : `${role}:${pipelines}`;
}

function covers({ role }: Grant, wanted: Role): boolean {
  return role === wanted || (role === 'admin' && wanted !== 'peer');
}

function matches(pattern: string, name: string): boolean {
  if (!pattern.includes(ALL)) return pattern === name;
  // Callers may ask for anything, lines included.
  return new RegExp(`^${pattern.split(ALL).join('.*')}$`, 's').test(name);
}

/** Refused for want of a role. */
export class Denied extends MillraceError {
  /** Null: it is about no pipeline. */
  readonly pipeline: string | null;
  constructor(message: string, pipeline: string | null = null) {
    super('PERMISSION_DENIED', message);
    this.pipeline = pipeline;
  }
}

/** An identity, at the other end of a call. */
export class Caller implements ServiceCaller {
  readonly identity: Identity;
  /** `host:port` that the call came from. */
  readonly from: string;
  /** The worker that passed it on; null: nobody did. */
  readonly via: string | null;

  /** What it was recognised by, for whoever let it in. */
  readonly knownBy: string;

  constructor(identity: Identity, options: { from: string; via?: string | null; knownBy: string }) {
    this.identity = identity;
    this.from = options.from;
    this.knownBy = options.knownBy;
    this.via = options.via ?? null;
  }

  get name(): string {
    return this.identity.name;
  }

  /** `pipeline` null: for all there are, whatever their names. */
  may(role: Role, pipeline: string | null): boolean {
    return this.identity.grants.some(
      grant =>
        covers(grant, role) && (pipeline === null ? grant.pipelines === ALL : matches(grant.pipelines, pipeline)),
    );
  }

  /** For some pipelines at least. */
  has(role: Role): boolean {
    return this.identity.grants.some(grant => covers(grant, role));
  }

  /** Throws PERMISSION_DENIED, which says what is missing. `pipeline` undefined: for any will do. */
  check(role: Role, pipeline?: string | null): void {
    if (pipeline === undefined ? this.has(role) : this.may(role, pipeline)) return;
    const { name, grants } = this.identity;
    const where = pipeline === undefined ? '' : pipeline === null ? ' for all pipelines' : ` for pipeline ${pipeline}`;
    const has = grants.length === 0 ? 'none' : grants.map(grantText).join(', ');
    const text = `this needs the role ${role}${where}, and ${name} has ${has}`;
    throw new Denied(`${text}; whoever keeps the workers' access file can grant it`, pipeline ?? null);
  }

  sees(pipeline: string): boolean {
    return this.may('read', pipeline);
  }

  checkDeploy(pipeline: string): void {
    this.check('deploy', pipeline);
  }
}
