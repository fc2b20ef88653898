/**
 * Where commands write to and ask: standard output and error, with colours where a person sees them, and quiet when
 * whoever reads has gone (`| head`). What a record holds is shown and never obeyed: all goes through `shownText`, which lets no
 * command to a terminal through but ours.
 */
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import { MillraceError } from '../lib/base/errors.ts';
import { printable } from '../lib/base/printable.ts';
import { platform } from './config.ts';
import { Ended } from './exit.ts';

export type Paint = 'good' | 'warn' | 'bad' | 'faint' | 'bold';

const CODES: Readonly<Record<Paint, number>> = { good: 32, warn: 33, bad: 31, faint: 90, bold: 1 };

/** Begins a command to the terminal in what is written there. Nobody outside this process can say it. */
export const COMMAND = `\x1b${randomBytes(8).toString('hex')}[`;

/** What a terminal gets of a text: our commands as such, those of others by their numbers. */
export function shownText(text: string): string {
  return text.includes(COMMAND) ? text.split(COMMAND).map(printable).join('\x1b[') : printable(text);
}

export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Whether a person sees standard output. */
  readonly live: boolean;
  /** Whether a person sees standard error: progress goes there. */
  readonly liveErr: boolean;
  /** Whether a person can be asked. */
  readonly asks: boolean;
  readonly columns: number;
  readonly rows: number;
  /** The text as it is where colours are not wanted. */
  paint(paint: Paint | null, text: string): string;
  /** Throws INVALID_ARGUMENT without a terminal, Ended when the answer is no. */
  confirm(what: string): Promise<void>;
}

export const COLORS = ['auto', 'always', 'never'] as const;

/** @param color `auto`: at a terminal, unless NO_COLOR is set. */
export function openTerminal(color: (typeof COLORS)[number]): Terminal {
  const { stdin, stdout, stderr } = process;
  const painted = color === 'always' || (color === 'auto' && stdout.isTTY && !platform().noColor);
  return {
    out: text => void stdout.write(shownText(text)),
    err: text => void stderr.write(shownText(text)),
    live: stdout.isTTY === true,
    liveErr: stderr.isTTY === true,
    asks: stdin.isTTY === true && stderr.isTTY === true,
    get columns() {
      return stdout.columns ?? 120;
    },
    get rows() {
      return stdout.rows ?? 40;
    },
    paint: (paint, text) => (painted && paint !== null ? `${COMMAND}${CODES[paint]}m${text}${COMMAND}0m` : text),
    async confirm(what) {
      if (!stdin.isTTY || !stderr.isTTY) {
        throw new MillraceError('INVALID_ARGUMENT', `this would ${what}; confirm with --yes`);
      }
      const asking = createInterface({ input: stdin, output: stderr });
      try {
        const interrupted = new Promise<never>((_, reject) =>
          asking.once('SIGINT', () => reject(new Ended('interrupted', 'nothing was changed'))),
        );
        const answer = await Promise.race([
          asking.question(`This will ${shownText(what)}. Go on? [y/N] `),
          interrupted,
        ]);
        if (!/^y(es)?$/i.test(answer.trim())) throw new Ended('failed', 'not confirmed; nothing was changed');
      } finally {
        asking.close();
      }
    },
  };
}

/** A reader that has gone ends us as it would any program of the shell: at once and without a word. */
export function endQuietlyWithoutReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  }
}
