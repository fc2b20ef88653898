/**
 * Completion in shells: `completion` prints a script for one of them, which asks the hidden `__complete` what could come
 * next. The answers are read off the tree of commands; names of pipelines, workers and contexts are looked up, quickly or
 * not at all.
 */
import { Argument, type Command } from 'commander';
import { readClientFile } from '../contexts.ts';
import { type Around, makeCommand, type Options, openClient, targetFor } from './common.ts';
import { KINDS, kindOf } from './get.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
/** Nobody waits longer for a list of names. */
const LOOKUP_MS = 1_500;

/** One line of an answer: what could be written, and what it is. `:files` asks the shell for names of files. */
const FILES = ':files';

const SCRIPTS: Readonly<Record<(typeof SHELLS)[number], string>> = {
  bash: `_millrace() {
  local current="\${COMP_WORDS[COMP_CWORD]}" line
  COMPREPLY=()
  while IFS=$'\\t' read -r line _; do
    if [ "$line" = "${FILES}" ]; then
      compopt -o filenames 2>/dev/null
      COMPREPLY+=($(compgen -f -- "$current"))
    elif [ -n "$line" ]; then
      COMPREPLY+=("$line")
    fi
  done < <(millrace __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _millrace millrace
`,
  zsh: `#compdef millrace
_millrace() {
  local line files=0
  local -a found
  while IFS= read -r line; do
    if [[ "$line" == "${FILES}" ]]; then
      files=1
    elif [[ -n "$line" ]]; then
      found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
    fi
  done < <(millrace __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( \${#found} )) && _describe millrace found
  (( files )) && _files
}
if [[ "\${funcstack[1]}" == "_millrace" ]]; then _millrace; else compdef _millrace millrace; fi
`,
  fish: `function __millrace_complete
  set -l words (commandline -opc) (commandline -ct)
  for line in (millrace __complete -- $words[2..-1] 2>/dev/null)
    if test "$line" = "${FILES}"
      __fish_complete_path (commandline -ct)
    else
      echo $line
    end
  end
end
complete -c millrace -f -a '(__millrace_complete)'
`,
};

export function completionVerb(around: Around): Command {
  return makeCommand(
    'completion',
    'Print a script that lets a shell complete commands, flags and names.',
    ['source <(millrace completion bash)', 'in ~/.bashrc'],
    ['source <(millrace completion zsh)', 'in ~/.zshrc, after compinit'],
    ['millrace completion fish > ~/.config/fish/completions/millrace.fish'],
  )
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(SHELLS))
    .action((shell: (typeof SHELLS)[number]) => around.terminal.out(SCRIPTS[shell]));
}

export function completeVerb(around: Around, root: () => Command): Command {
  return makeCommand('__complete', 'Say what could come next; for the scripts of completion.', [
    'millrace __complete -- get ""',
  ])
    .argument('[words...]', 'what has been written, the last word perhaps in part')
    .action(async (words: readonly string[]) => {
      const found = await complete(root(), words);
      around.terminal.out(found.map(({ text, means }) => `${text}${means === '' ? '' : `\t${means}`}\n`).join(''));
    });
}

interface Candidate {
  readonly text: string;
  readonly means: string;
}

/** What could take the place of the last word. */
export async function complete(root: Command, words: readonly string[]): Promise<readonly Candidate[]> {
  const written = words.slice(0, -1);
  const last = words.at(-1) ?? '';
  let command = root;
  const operands: string[] = [];
  const options: Record<string, unknown> = {};
  let open: Command['options'][number] | null = null;
  for (const word of written) {
    if (open !== null) {
      options[open.attributeName()] = word;
      open = null;
    } else if (word.startsWith('-')) {
      const option = command.options.find(({ short, long }) => word === short || word === long);
      if (option?.required === true) open = option;
    } else {
      const below =
        operands.length === 0
          ? command.commands.find(one => one.name() === word || one.aliases().includes(word))
          : undefined;
      if (below === undefined) operands.push(word);
      else command = below;
    }
  }
  if (open !== null) return matching(await valuesOf(open), last);
  if (last.startsWith('-')) {
    const flags = command.options.filter(option => option.long != null && !option.hidden);
    return matching(
      [
        ...flags.map(option => ({ text: option.long!, means: option.description })),
        { text: '--help', means: 'show help' },
      ],
      last,
    );
  }
  if (command.commands.length > 0 && operands.length === 0) {
    const below = command.commands.filter(one => !one.name().startsWith('_'));
    return matching(
      below.map(one => ({ text: one.name(), means: one.description().split(/[.:] /)[0]! })),
      last,
    );
  }
  const argument = command.registeredArguments[operands.length];
  if (argument === undefined) return [];
  return matching(await operandsOf(command, argument, { operands, options }), last);
}

function matching(candidates: readonly Candidate[], last: string): Candidate[] {
  return candidates.filter(({ text }) => text === FILES || text.startsWith(last));
}

async function valuesOf(option: Command['options'][number]): Promise<readonly Candidate[]> {
  if (option.argChoices !== undefined) return option.argChoices.map(text => ({ text, means: '' }));
  if (/<(file|folder)>/.test(option.flags)) return [{ text: FILES, means: '' }];
  return option.long === '--context' ? contextNames() : [];
}

async function operandsOf(
  command: Command,
  argument: Argument,
  so: { readonly operands: readonly string[]; readonly options: Options },
): Promise<readonly Candidate[]> {
  const verb = command.name();
  if (argument.argChoices !== undefined) return argument.argChoices.map(text => ({ text, means: '' }));
  switch (argument.name()) {
    case 'file':
    case 'dir':
      return [{ text: FILES, means: '' }];
    case 'kind': {
      const kinds = Object.keys(KINDS).map(text => ({ text, means: '' }));
      return verb === 'get'
        ? [...kinds, ...(await names('pipelines', so.options))]
        : [...describable(), ...(await names('pipelines', so.options))];
    }
    case 'name':
      if (verb.endsWith('-context')) return contextNames();
      if (verb !== 'get' && verb !== 'describe') return names('pipelines', so.options);
      return names(kindOf(so.operands[0] ?? '') ?? 'pipelines', so.options);
    case 'pipeline':
      return names('pipelines', so.options);
    case 'source':
      return names('sources', so.options, so.operands[0]);
    case 'operator':
      return names('operators', so.options, so.operands[0]);
    default:
      return [];
  }
}

const describable = () => ['pipeline', 'worker', 'task'].map(text => ({ text, means: '' }));

function contextNames(): readonly Candidate[] {
  try {
    return [...readClientFile().contexts.keys()].map(text => ({ text, means: 'context' }));
  } catch {
    // A file with mistakes is told of by the command itself.
    return [];
  }
}

/** Nothing when nobody answers: completion is no place for errors. */
async function names(kind: string, options: Options, of = ''): Promise<readonly Candidate[]> {
  if (kind === 'contexts') return contextNames();
  try {
    const client = await openClient(targetFor(options), LOOKUP_MS);
    try {
      if (kind === 'workers') return (await client.workers()).map(({ name }) => ({ text: name, means: 'worker' }));
      if (kind === 'operators') {
        const operators = new Set((await client.tables(of)).map(({ operator }) => operator));
        return [...operators].map(text => ({ text, means: 'operator' }));
      }
      if (kind === 'sources') {
        const { status } = await client.get(of);
        return [...new Set(status.sources.map(({ name }) => name))].map(text => ({ text, means: 'source' }));
      }
      return (await client.list()).map(({ name, status }) => ({ text: name, means: `pipeline, ${status.state}` }));
    } finally {
      client.close();
    }
  } catch {
    return [];
  }
}
