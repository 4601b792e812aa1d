/** ETags are made of the version of a row: `"3"`. */
import { HoldfastError } from '@holdfast/base';

export function etagOf(version: number): string {
  return `"${version}"`;
}

/**
 * The version that `If-Match` asks for; undefined when any will do.
 * @throws precondition_required when it lacks and is required; request_invalid when it is no ETag of ours
 */
export function versionAsked(ifMatch: string | undefined, demand: 'optional' | 'required'): number | undefined {
  if (ifMatch === undefined) {
    if (demand === 'optional') return undefined;
    throw new HoldfastError('precondition_required', 'If-Match is missing.');
  }
  if (ifMatch.trim() === '*') return undefined;
  // A proxy that compresses makes ETags weak; the version is the same.
  const found = /^(?:W\/)?"(\d{1,15})"$/.exec(ifMatch.trim());
  if (found) return Number(found[1]);
  throw new HoldfastError('request_invalid', 'If-Match is no ETag of this API.', {
    errors: [{ pointer: '/headers/if-match', message: 'The ETag of the last answer, such as "3".' }],
  });
}
