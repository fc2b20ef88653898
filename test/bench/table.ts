/** Tables, for a terminal and as Markdown. Numbers stand right, words left. */
export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** What one must know to read it; a line each. */
  readonly notes?: readonly string[];
}

const NUMBER = /^[\d–-]/;

export function toText({ title, head, rows, notes = [] }: Table): string {
  const widths = widthsOf([head, ...rows]);
  const right = rightOf(head, rows);
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (right[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join('  ');
  const rule = widths.map(width => '─'.repeat(width)).join('  ');
  return [title, '', line(head), rule, ...rows.map(line), ...notes.map(note => `  ${note}`)]
    .map(text => text.trimEnd())
    .join('\n');
}

export function toMarkdown({ title, head, rows, notes = [] }: Table): string {
  const right = rightOf(head, rows);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = `|${head.map((_, i) => (right[i] ? '--:' : '---')).join('|')}|`;
  return [
    `**${title}**`,
    '',
    line(head),
    rule,
    ...rows.map(line),
    ...(notes.length > 0 ? ['', notes.join(' ')] : []),
  ].join('\n');
}

function widthsOf(rows: readonly (readonly string[])[]): number[] {
  return rows[0]!.map((_, i) => Math.max(...rows.map(row => row[i]!.length)));
}

/** Which columns hold numbers only. */
function rightOf(head: readonly string[], rows: readonly (readonly string[])[]): boolean[] {
  return head.map((_, i) => rows.length > 0 && rows.every(row => NUMBER.test(row[i]!)));
}

/** `1,234,567`; no number is a dash. */
export function whole(value: number | null): string {
  return value === null ? '–' : Math.round(value).toLocaleString('en-US');
}

/** With so many digits after the point. */
export function fixed(value: number | null, digits: number): string {
  return value === null ? '–' : value.toFixed(digits);
}

export function percent(share: number | null): string {
  return share === null ? '–' : `${Math.round(share * 100)} %`;
}
