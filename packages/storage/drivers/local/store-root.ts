/**
 * The directory that is the storage, and the proof that it still is. A mount that went away leaves an empty directory
 * behind: writing there would fill the wrong disk, and listing it would tell the collector that no restore point exists.
 * So device and inode are remembered when the store is opened and compared again before anything is concluded from
 * absence and before a top-level directory is made.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HoldfastError, makeDirectories } from '@holdfast/base';
import { absentAs, hasErrno, storageCall, toStorageError } from './local-errors.ts';

export type StoreRoot = {
  /** Absolute path. */
  readonly directory: string;
  readonly device: number;
  readonly inode: number;
  /**
   * Modes of what is made inside. Objects may hold whole disks, so others never get anything; the group gets what the
   * root directory gives it (a shared directory is 2770), and nobody may write an object again.
   */
  readonly fileMode: number;
  readonly directoryMode: number;
};

/**
 * @throws storage_unreachable when the directory does not exist (and `create` is not set) or is none; storage_denied
 */
export async function openRoot(request: { readonly directory: string; readonly create: boolean }): Promise<StoreRoot> {
  const { directory } = request;
  if (request.create) await createDurably(directory);
  const found = await stat(directory).catch(absentAs(undefined, `look at the storage directory ${directory}`));
  if (!found?.isDirectory()) {
    throw new HoldfastError('storage_unreachable', `${directory} ${found ? 'is not a directory' : 'does not exist'}.`, {
      remedy: 'Check the path, and that the file system is mounted; holdfast repo init creates a new storage.',
    });
  }
  return {
    directory,
    device: found.dev,
    inode: found.ino,
    fileMode: 0o600 | (found.mode & 0o040),
    directoryMode: 0o700 | (found.mode & 0o2070),
  };
}

/** @throws storage_unreachable when another directory, or none, is found under the path by now */
export async function assertSameRoot(root: StoreRoot): Promise<void> {
  const now = await stat(root.directory).catch(() => undefined);
  if (now?.dev === root.device && now.ino === root.inode) return;
  throw new HoldfastError('storage_unreachable', `The storage directory ${root.directory} was replaced or unmounted.`, {
    remedy: 'Mount the storage again and run again.',
  });
}

/** Makes the directory and what is missing above it; afterwards each new name survives power loss. */
async function createDurably(directory: string): Promise<void> {
  const doing = `create the storage directory ${directory}`;
  let first: string | undefined;
  try {
    first = await makeDirectories(directory, { mode: 0o700 });
  } catch (error) {
    // Something else is in the way; the caller finds out what.
    if (hasErrno(error, 'EEXIST', 'ENOTDIR')) return;
    throw toStorageError(error, doing);
  }
  if (first === undefined) return;
  // A name lives in the directory above: from the deepest new one up to the parent of the first new one.
  for (let made = directory; made.length >= first.length; made = dirname(made)) {
    await using parent: FileHandle = await storageCall(doing, open(dirname(made), 'r'));
    await storageCall(doing, parent.sync());
  }
}
