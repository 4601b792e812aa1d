/** Where a keeper keeps what it has read of repositories, so that it need not read it again. */
import { resolve } from 'node:path';
import type { Context } from '../command/invocation.ts';

/** Undefined where the user has no home: then nothing is kept. @param chosen by the user */
export function cacheDirectory({ environment }: Context, chosen: string | undefined): string | undefined {
  if (chosen !== undefined) return resolve(chosen);
  const caches = environment['XDG_CACHE_HOME'] || (environment['HOME'] && `${environment['HOME']}/.cache`);
  return caches ? `${caches}/holdfast/keeper` : undefined;
}
