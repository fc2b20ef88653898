/**
 * The origin of a record: which source message it came from, in one number, so that it can travel with every record
 * for nothing: `sequence × 64 + source`, where `source` is the index of the source in the pipeline's plan.
 */
export const SOURCES_MAX = 64;

export const NO_ORIGIN = -1;

export function originOf(source: number, seq: number): number {
  return seq * SOURCES_MAX + source;
}

export function seqOfOrigin(origin: number): number {
  return Math.floor(origin / SOURCES_MAX);
}

export function sourceOfOrigin(origin: number): number {
  return origin % SOURCES_MAX;
}
