/** Runs another program to its end, bounded in time and output. */
import { execFile } from 'node:child_process';

const outputBytesMax = 4 << 20;

export interface RunOptions {
  readonly timeoutMs: number;
  readonly cwd?: string;
}

/** Resolves to what it wrote to its standard output. Rejects with what it wrote last to its standard error. */
export function run(program: string, args: readonly string[], { timeoutMs, cwd }: RunOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, maxBuffer: outputBytesMax, killSignal: 'SIGKILL', cwd } as const;
    execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error === null) {
        resolve(stdout);
        return;
      }
      const said = stderr.trim().split('\n').slice(-3).join(' | ');
      const how = error.killed ? `${program} took longer than ${timeoutMs / 1_000} s` : `${program}: ${error.code}`;
      reject(new Error(said === '' ? how : `${how}: ${said}`, { cause: error }));
    });
  });
}
