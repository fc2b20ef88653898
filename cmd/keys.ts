/**
 * Single keys of a person at the terminal, without Enter. Ctrl-C stays what it is.
 */
const CTRL_C = '\x03';

/** Whether there is somebody who could press one. */
export function hasKeys(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}

/** Tells each key until the function that it returns is called. */
export function listenToKeys(pressed: (key: string) => void): () => void {
  const { stdin } = process;
  const hear = (text: string) => {
    for (const key of text) {
      if (key === CTRL_C) process.kill(process.pid, 'SIGINT');
      else pressed(key);
    }
  };
  stdin.setRawMode(true).setEncoding('utf8').on('data', hear).resume();
  return () => {
    stdin.off('data', hear).pause();
    stdin.setRawMode(false);
  };
}
