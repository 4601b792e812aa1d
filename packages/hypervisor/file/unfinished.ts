/** How a new image is marked until it is whole: nobody but root can open it for reading. */
import type { Stats } from 'node:fs';
import { access, chmod, constants } from 'node:fs/promises';

export const UNFINISHED_MODE = 0o200;
export const FINISHED_MODE = 0o600;

export function isMarkedUnfinished({ mode }: Pick<Stats, 'mode'>): boolean {
  return (mode & 0o777) === UNFINISHED_MODE;
}

/**
 * Lets programs of this user open what is marked. Root needs nothing for that, so that there the mark never goes away;
 * whoever else has to take it off puts it on again as soon as the file is open.
 */
export async function openToOwner(path: string): Promise<void> {
  await access(path, constants.R_OK).catch(async () => await chmod(path, FINISHED_MODE));
}
