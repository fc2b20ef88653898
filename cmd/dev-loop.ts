/**
 * What `dev` does with an author's file: deploys it, shows what it does and what comes out, and deploys again what is
 * saved. The author is at work: a mistake is shown, and what was deployed goes on. Where state cannot be read by what was
 * saved, the author is asked whether to begin anew, or has said so before.
 */
import { sleep, systemClock } from '../lib/base/clock.ts';
import { isMillraceError, MillraceError, messageOf } from '../lib/base/errors.ts';
import { type Bundle, bundlePipeline } from '../lib/bundle/bundle.ts';
import type { AdminClient } from '../lib/control/client.ts';
import type { Log } from '../lib/port/log.ts';
import type { Seal } from '../lib/record/seal.ts';
import type { DeployAnswer } from '../lib/service/commands.ts';
import type { PlanAnswer } from '../lib/service/plan.ts';
import type { PlanSummary } from '../lib/topology/summary.ts';
import { endingOf } from './exit.ts';
import { inputsOf, nearbyInputs, stampOf } from './inputs.ts';
import { hasKeys, listenToKeys } from './keys.ts';
import type { Screen } from './screen.ts';
import { Tail } from './tail.ts';
import { checkTypes, type Types, typesText } from './types.ts';

const STATUS_MS = 1_000;
const LOOK_MS = 250;
/** Begins anew. */
const ANEW_KEY = 'n';

/** A bundle, or why there is none. */
export type Attempt = { readonly bundle: Bundle } | { readonly mistake: MillraceError };

export interface LoopOptions {
  readonly client: AdminClient;
  readonly log: Log;
  readonly seal: Seal;
  readonly file: string;
  readonly first: Attempt;
  readonly screen: Screen;
  /** Where state cannot be read: begin anew without being asked. */
  readonly reset: boolean;
  /** When it ends: what breaks from then on is being taken down. */
  readonly signal: AbortSignal;
}

/** Throws what an author cannot mend by saving, e.g. NOT_FOUND. */
export async function attempt(file: string): Promise<Attempt> {
  try {
    return { bundle: await bundlePipeline(file) };
  } catch (error) {
    if (isMillraceError(error, 'PLAN_INVALID')) return { mistake: error };
    throw error;
  }
}

export async function loop(options: LoopOptions): Promise<void> {
  const { client, log, seal, file, screen, signal } = options;
  const tail = new Tail(log, { seal, row: row => screen.row(row), letter: letter => screen.letter(letter) });
  const types = typesTeller(file, screen);
  let next: Attempt | null = options.first;
  let name: string | null = null;
  /** What was shown in this session: who gives a pipeline another name has two. */
  const names = new Set<string>();
  let inputs: readonly string[] = [file];
  let stamp = '';
  let statusAtMs = 0;
  /** What waits for the author's word, and what no longer listens for it. */
  let offer: { readonly bundle: Bundle; readonly withdraw: () => void } | null = null;
  let anew: Bundle | null = null;
  /** Notices of deploys. */
  const told = new Set<string>();
  while (!signal.aborted) {
    try {
      if (next !== null) {
        const made: Attempt = next;
        next = null;
        offer?.withdraw();
        offer = null;
        anew = null;
        // Before it is deployed, so that a save meanwhile is not missed.
        inputs = 'bundle' in made ? inputsOf(made.bundle, file) : nearbyInputs(file);
        stamp = stampOf(inputs);
        if ('mistake' in made) throw made.mistake;
        types();
        const { bundle } = made;
        const plan = await client.plan(bundle);
        await tail.add({ pipeline: plan.name, sinks: (plan.summary as PlanSummary).sinks });
        if (plan.outcome === 'incompatible' && options.reset) anew = bundle;
        else if (plan.outcome === 'incompatible') {
          // What was deployed goes on, and is shown.
          name = plan.name;
          names.add(name);
          const keys = hasKeys();
          if (keys) {
            const withdraw = await listenToKeys(key => {
              if (key.toLowerCase() === ANEW_KEY) anew = bundle;
            });
            offer = { bundle, withdraw };
          }
          screen.say(incompatibleText(plan, { keys }));
        } else {
          const before: string | null = name;
          name = await deploy(bundle, { client, screen, plan, told });
          names.add(name);
          if (before !== null && before !== name) {
            const text = othersText(name, { names, running: await client.list() });
            if (text !== null) screen.say(text);
          }
        }
      }
      if (anew !== null) {
        const bundle: Bundle = anew;
        anew = null;
        offer?.withdraw();
        offer = null;
        name = null;
        name = await beginAnew(bundle, { client, screen, told });
      }
      await tail.poll();
      if (name !== null && performance.now() - statusAtMs > STATUS_MS) {
        statusAtMs = performance.now();
        screen.status(await client.get(name));
      }
    } catch (error) {
      if (signal.aborted) return;
      screen.say(mistakeText(error, { name }));
    }
    await sleep(systemClock, LOOK_MS);
    const now = stampOf(inputs);
    if (now === stamp) continue;
    // An editor may write a file in several steps.
    await sleep(systemClock, LOOK_MS / 2);
    try {
      next = await attempt(file);
    } catch (error) {
      stamp = stampOf(inputs);
      screen.say(`error: ${messageOf(error)}`);
    }
  }
}

async function deploy(
  bundle: Bundle,
  { client, screen, plan, told }: { client: AdminClient; screen: Screen; plan: PlanAnswer; told: Set<string> },
): Promise<string> {
  const answer = await client.deploy(bundle);
  screen.say(deployedText(answer, { differences: plan.differences, told }));
  return answer.name;
}

/** What a deploy came to. @param options.told notices of earlier ones: they are said once, however often the file is saved. */
export function deployedText(
  { name, revision, outcome, notices }: Pick<DeployAnswer, 'name' | 'revision' | 'outcome' | 'notices'>,
  { differences, told }: { readonly differences: readonly string[]; readonly told: Set<string> },
): string {
  const done = outcome === 'unchanged' ? `${name} goes on` : `${name} ${outcome}`;
  const news = notices.filter(notice => !told.has(notice));
  for (const notice of news) told.add(notice);
  return [`${done} (revision ${revision})`, ...differences, ...news].join('\n  ');
}

/** Results and input stay as they are; what is computed from the input is sent again. */
async function beginAnew(
  bundle: Bundle,
  { client, screen, told }: { client: AdminClient; screen: Screen; told: Set<string> },
): Promise<string> {
  const { name } = await client.plan(bundle);
  screen.say(`${name} begins anew: its state is deleted, and all input that is there is read again`);
  const { done } = await client.delete(name, { purge: true });
  if (!done) throw new MillraceError('CONFLICT', `pipeline ${name} is still being deleted; save the file once more`);
  return deploy(bundle, { client, screen, plan: await client.plan(bundle), told });
}

/** Pure. @param options.keys whether there is a person who could press one. */
export function incompatibleText(
  { name, deployed, incompatibilities }: Pick<PlanAnswer, 'name' | 'deployed' | 'incompatibilities'>,
  { keys }: { readonly keys: boolean },
): string {
  return [
    `${name} is not updated: the state there is cannot be read by what was saved`,
    ...incompatibilities.map(reason => `  - ${reason}`),
    `what was deployed goes on (${deployed}); undo the change, or begin anew: its state is deleted, results and input stay`,
    keys ? `to begin anew press ${ANEW_KEY}` : 'to begin anew start with: millrace dev FILE --reset',
  ].join('\n');
}

/** Pure. @param options.name what was deployed before; null: nothing. */
export function mistakeText(error: unknown, { name }: { readonly name: string | null }): string {
  const text = `error: ${messageOf(error)}`;
  if (name === null) return `${text}\nsave the file to try again`;
  const isRefused = isMillraceError(error) && endingOf(error.code) === 'refused';
  return isRefused ? `${text}\n${name} goes on as it was deployed` : text;
}

/** What is still there of this session under another name; null: nothing. Pure. */
export function othersText(
  name: string,
  { names, running }: { readonly names: ReadonlySet<string>; readonly running: readonly { readonly name: string }[] },
): string | null {
  const others = running.filter(pipeline => pipeline.name !== name && names.has(pipeline.name));
  if (others.length === 0) return null;
  return others.map(other => `pipeline ${other.name} still runs: millrace delete ${other.name}`).join('\n');
}

/** Checks the types beside everything else, and says what there is to say; the latest save counts. */
function typesTeller(file: string, screen: Screen): () => void {
  let said: Types | null = null;
  let latest = 0;
  return () => {
    const mine = ++latest;
    void checkTypes(file).then(types => {
      if (mine !== latest) return;
      const text = typesText(said, types);
      said = types;
      if (text !== null) screen.say(text);
    });
  };
}
