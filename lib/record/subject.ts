/**
 * NATS subjects: tokens joined by dots; in a filter `*` stands for one token and a last `>` for one or more.
 */
export function hasWildcard(subject: string): boolean {
  return subject.split('.').some(token => token === '*' || token === '>');
}

/** Does the filter deliver this subject (which has no wildcards)? */
export function matches(filter: string, subject: string): boolean {
  if (filter === subject || filter === '>') return true;
  let f = 0;
  let s = 0;
  while (f < filter.length) {
    if (filter[f] === '>' && f === filter.length - 1) return s < subject.length;
    const filterEnd = endOfToken(filter, f);
    const subjectEnd = endOfToken(subject, s);
    if (s >= subject.length) return false;
    const wild = filterEnd === f + 1 && filter[f] === '*';
    if (!wild && (filterEnd - f !== subjectEnd - s || !filter.startsWith(subject.slice(s, subjectEnd), f)))
      return false;
    f = filterEnd + 1;
    s = subjectEnd + 1;
  }
  return s > subject.length;
}

function endOfToken(subject: string, from: number): number {
  const dot = subject.indexOf('.', from);
  return dot < 0 ? subject.length : dot;
}

/** Does filter `a` deliver everything that filter `b` does? */
export function covers(a: string, b: string): boolean {
  const as = a.split('.');
  const bs = b.split('.');
  for (let i = 0; i < as.length; i++) {
    if (as[i] === '>') return i < bs.length;
    if (i >= bs.length || bs[i] === '>') return false;
    if (as[i] !== '*' && as[i] !== bs[i]) return false;
  }
  return as.length === bs.length;
}

/** Is there a subject that both filters deliver? */
export function overlaps(a: string, b: string): boolean {
  const as = a.split('.');
  const bs = b.split('.');
  for (let i = 0; ; i++) {
    if (as[i] === '>') return i < bs.length;
    if (bs[i] === '>') return i < as.length;
    if (i >= as.length || i >= bs.length) return as.length === bs.length;
    if (as[i] !== '*' && bs[i] !== '*' && as[i] !== bs[i]) return false;
  }
}
