/**
 * Tracing of one process: where spans go. They are made and sent by the engine's thread; the SDK is loaded only there, and
 * only when it is wanted.
 */
import { MillraceError } from '../lib/base/errors.ts';
import { VERSION } from '../lib/base/package.ts';
import { shownUrl } from '../lib/base/url.ts';
import type { OtlpTracing } from '../lib/observe/otlp.ts';
import { withVariables } from './config.ts';

/** Throws INVALID_ARGUMENT: it is no URL. */
export function checkCollector(endpoint: string): void {
  if (/^https?:\/\/./.test(endpoint) && URL.canParse(endpoint)) return;
  const text = `--otlp is ${shownUrl(endpoint)}; give the URL of a collector, e.g. http://127.0.0.1:4318`;
  throw new MillraceError('INVALID_ARGUMENT', text);
}

/** @param env what the SDK reads when it is made, and then nobody else any more. */
export async function openTracing(endpoint: string, env: Readonly<Record<string, string>>): Promise<OtlpTracing> {
  const { openOtlp } = await import('../lib/observe/otlp.ts');
  return withVariables(env, () => openOtlp({ endpoint, version: VERSION }));
}
