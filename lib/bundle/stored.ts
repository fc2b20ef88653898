/**
 * Bundles as the cluster keeps them: in the blobs, by the hash of their code, so that each is there once, whoever deployed
 * it how often.
 */
import { isMillraceError, MillraceError } from '../base/errors.ts';
import type { Blobs } from '../port/blob.ts';
import type { Bundle } from './bundle.ts';

/** Where a bundle lies in the blobs; no pipeline is called `_bundles`, so no purge finds it. */
export function bundleBlob(hash: string): string {
  return `_bundles/${hash}`;
}

/** Throws NOT_FOUND (it is gone), JOURNAL_CORRUPT (damaged), BROKER_UNAVAILABLE. */
export async function storedBundle(
  blobs: Pick<Blobs, 'get'>,
  { pipeline, bundle, file }: { readonly pipeline: string; readonly bundle: string; readonly file: string },
): Promise<Bundle> {
  const what = `the bundle ${bundle.slice(0, 12)} of pipeline ${pipeline}`;
  const code = await blobs.get(bundleBlob(bundle)).catch(cause => {
    if (!isMillraceError(cause, 'JOURNAL_CORRUPT')) throw cause;
    const text = `${what} is damaged in the cluster's blobs; deploy it again`;
    throw new MillraceError('JOURNAL_CORRUPT', text, { cause });
  });
  if (code === null) throw new MillraceError('NOT_FOUND', `${what} is gone from the cluster's blobs; deploy it again`);
  return { code, hash: bundle, file };
}
