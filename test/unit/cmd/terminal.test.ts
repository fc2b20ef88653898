/** What a record holds is shown and never obeyed by the terminal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forProgram, table } from '../../../cmd/output.ts';
import { plainScreen } from '../../../cmd/screen.ts';
import { openTerminal, shownText } from '../../../cmd/terminal.ts';
import { textLog } from '../../../lib/observe/log.ts';

const EVIL = '\u001b[2J\u001b]0;title\u0007\r\u009b31m\u202eevil';
const TOLD = '\\u001b[2J\\u001b]0;title\\u0007\\u000d\\u009b31m\\u202eevil';

test('commands of others are told by their numbers; ours are commands', () => {
  const { paint } = openTerminal('always');
  assert.equal(shownText(`${paint('good', `a${EVIL}`)}\n`), `\u001b[32ma${TOLD}\u001b[0m\n`);
  assert.equal(shownText('\u001b[32mgreen\u001b[0m'), '\\u001b[32mgreen\\u001b[0m');
});

test('a cell is one line, and JSON stays the JSON that it was', () => {
  assert.equal(table([{ head: 'A', cell: (row: string) => row }], [`x\ny${EVIL}`]), `A\nx\\ny${TOLD}`);
  const shown = shownText(forProgram('json', { text: EVIL }));
  assert.ok(!/[^\n\P{Cc}]/u.test(shown) && !shown.includes('\u202e'));
  assert.deepEqual(JSON.parse(shown), { text: EVIL });
});

test('the screen and the log say them by their numbers, too', () => {
  let text = '';
  const write = (more: string) => void (text += more);
  const screen = plainScreen({ title: 'dev', write, now: () => 0, columns: () => 80 });
  screen.row({ subject: 'out.x', text: EVIL });
  screen.letter({ operator: 'map', code: 'X', message: EVIL, text: EVIL });
  textLog({ level: 'info', write, now: () => 0 }).emit({ event: 'x', level: 'warn', message: EVIL });
  assert.equal(text.split(TOLD).length - 1, 4);
  assert.ok(!/[^\n\P{Cc}]/u.test(text));
});
