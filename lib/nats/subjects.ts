/** The subjects that a stream holds, asked of its leader. */
import { askOrThrow } from './api.ts';
import type { NatsLink } from './connection.ts';

/** Sorted. A page of the broker's answer holds 100,000. */
export async function subjectsOf(
  link: NatsLink,
  { stream, filter }: { stream: string; filter: string },
): Promise<string[]> {
  const subjects: string[] = [];
  for (let total = 1; subjects.length < total; ) {
    const page = await askOrThrow<{ total?: number; state: { subjects?: Record<string, number> | null } }>(
      link,
      `STREAM.INFO.${stream}`,
      { subjects_filter: filter, offset: subjects.length },
    );
    const names = Object.keys(page.state.subjects ?? {});
    if (names.length === 0) break;
    subjects.push(...names);
    total = page.total ?? 0;
  }
  return subjects.sort();
}
