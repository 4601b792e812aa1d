import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemErrorCode } from './errors/holdfast-error.ts';

/**
 * Makes a directory and what is missing above it. Node's own `recursive` tries for ever where the kernel answers ENOENT
 * although the directory above is there (/proc), and says ENOENT for a read-only file system; this one says what the
 * kernel says.
 * @returns the topmost directory that was made; undefined when all were there
 * @throws system errors; EEXIST when something else has the name
 */
export async function makeDirectories(
  path: string,
  { mode = 0o777 }: { readonly mode?: number } = {},
): Promise<string | undefined> {
  try {
    await mkdir(path, { mode });
    return path;
  } catch (error) {
    if (await isDirectory(path)) return undefined;
    const above = dirname(path);
    if (systemErrorCode(error) !== 'ENOENT' || (await isDirectory(above))) throw error;
    const topmost = await makeDirectories(above, { mode });
    return (await makeDirectories(path, { mode })) === undefined ? topmost : (topmost ?? path);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}
