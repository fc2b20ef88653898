/**
 * The gate that every call comes through before its request is read: who calls is found out, whether it has the role that
 * the method asks for at all, and who is refused is noted. For which pipeline it has it is judged when the request is known
 * (`calls.ts`). It also sees to it that the texts of all statuses fit into a header, those of the library too.
 */
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { invariant, isMillraceError } from '../base/errors.ts';
import type { Noted } from '../service/audit.ts';
import type { Admission } from './admission.ts';
import { headerText, toStatus } from './errors.ts';
import type { Caller } from './roles.ts';
import { RULES } from './rules.ts';
import { SERVICES, type ServiceName, serviceSchema } from './schema.ts';
import type { MethodName } from './wire.ts';

export class Gate {
  readonly interceptor: ServerInterceptor;
  readonly #callers = new WeakMap<Metadata, Caller>();

  /** @param options.refused is told of each refusal. */
  constructor(options: { admission: Admission; refused(noted: Noted): void }) {
    const { admission, refused } = options;
    const methods = new Map<string, MethodName>();
    for (const service of Object.keys(SERVICES) as ServiceName[]) {
      for (const [name, { path }] of Object.entries(serviceSchema(service))) methods.set(path, name as MethodName);
    }
    this.interceptor = ({ path }, call) => {
      // What is none of ours, reflection above all, is for all who are known.
      const method = methods.get(path);
      const role = method === undefined ? 'known' : RULES[method].role;
      return new ServerInterceptingCall(call, {
        start: next =>
          void next({
            onReceiveMetadata: (metadata, pass) => {
              if (role === 'open') return pass(metadata);
              let caller: Caller | null = null;
              try {
                const from = call.getPeer();
                caller = admission.caller({ metadata, from, certificate: call.getAuthContext().sslPeerCertificate });
                if (role !== 'known') caller.check(role);
              } catch (error) {
                refused(refusal({ caller, from: call.getPeer(), method: method ?? pathText(path), error }));
                call.sendStatus(toStatus(error));
                return;
              }
              this.#callers.set(metadata, caller);
              pass(metadata);
            },
          }),
        sendStatus(status, next) {
          next(status.details === undefined ? status : { ...status, details: headerText(status.details) });
        },
      });
    };
  }

  /** Who was let in with this call. */
  callerOf({ metadata }: { readonly metadata: Metadata }): Caller {
    const caller = this.#callers.get(metadata);
    invariant(caller !== undefined, 'a call has come by another way than through the gate');
    return caller;
  }
}

const PATH_MAX = 100;

/** Paths are the callers' to write. */
function pathText(path: string): string {
  return path.replace(/[^\x21-\x7e]/g, '_').slice(0, PATH_MAX);
}

/** A refusal as the audit has it. */
export function refusal(about: {
  caller: Caller | null;
  from: string;
  method: string;
  pipeline?: string | null;
  error: unknown;
}): Noted {
  const { caller, from, method, pipeline = null, error } = about;
  return {
    ...{ who: caller?.name ?? null, from, via: caller?.via ?? null, method, pipeline },
    ...{ revision: null, bundleHash: null, outcome: 'refused' },
    code: isMillraceError(error) ? error.code : 'UNEXPECTED',
  };
}
