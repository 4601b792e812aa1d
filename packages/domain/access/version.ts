/** Changes that are based on what somebody has read: lost updates are refused. */
import { HoldfastError } from '@holdfast/base';

/** @param asked the version that the change is based on; undefined when any will do. @throws precondition_failed */
export function expectVersion(row: { readonly version: number }, asked: number | undefined): void {
  if (asked === undefined || asked === row.version) return;
  throw new HoldfastError('precondition_failed', `It has version ${row.version} now, not ${asked}.`, {
    facts: { version: row.version },
  });
}
