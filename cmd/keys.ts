/**
 * Single keys of a person at the terminal, without Enter. Ctrl-C stays what it is.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const CTRL_C = '\x03';
/** How long what the terminal has kept may take to come. */
const KEPT_MS = 50;

/** What is used of `process.stdin`. */
export interface Keyboard {
  setRawMode(on: boolean): unknown;
  setEncoding(encoding: 'utf8'): unknown;
  on(event: 'data', hear: (text: string) => void): unknown;
  off(event: 'data', hear: (text: string) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

/** Whether there is somebody who could press one. */
export function hasKeys(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}

/**
 * Tells each key that is pressed after it has resolved, until the function that it returns is called. Ask then, not before:
 * a terminal keeps what was pressed while nobody read, and that answers no question; it is dropped here.
 */
export async function listenToKeys(
  pressed: (key: string) => void,
  keyboard: Keyboard = process.stdin,
): Promise<() => void> {
  let asked = false;
  const hear = (text: string) => {
    for (const key of text) {
      if (key === CTRL_C) process.kill(process.pid, 'SIGINT');
      else if (asked) pressed(key);
    }
  };
  // Not raw before there is something to ask: a terminal stops a program in the background that wants that of it.
  keyboard.setRawMode(true);
  keyboard.setEncoding('utf8');
  keyboard.on('data', hear);
  keyboard.resume();
  await sleep(KEPT_MS);
  // A loop that was busy all the while has run the timer before it has read.
  await new Promise(setImmediate);
  asked = true;
  return () => {
    keyboard.off('data', hear);
    keyboard.pause();
    keyboard.setRawMode(false);
  };
}
