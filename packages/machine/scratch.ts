/**
 * Where QEMU keeps, while a backup job lives, what the guest overwrites. A full file system there stops the guest, so
 * there must be room before, and a floor is watched.
 */
import { chmod, chown, mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { formatBytes, HoldfastError, MiB, systemErrorCode } from '@holdfast/base';
import type { ProcessOwner } from '@holdfast/hypervisor/libvirt';

const PREFIX = 'holdfast-job-';

/** Longest path of a unix socket (unix(7)). */
const SOCKET_PATH_LIMIT = 107;

/**
 * Room asked for at the beginning: a guest that overwrites more than this while one backup runs is rare, and is watched.
 * Never more than the disks have.
 */
const WANTED_BYTES = 1024 * MiB;
/** Below this share of what was wanted the job is ended: a guest at full speed fills it no sooner than we look again. */
const FLOOR_SHARE = 4;

export interface Scratch extends AsyncDisposable {
  readonly directory: string;
  /** Where QEMU is to listen. */
  readonly socketPath: string;
  fileOf(disk: string): string;
  /** @throws scratch_full when too little is left to go on */
  check(): Promise<void>;
}

/** Whether it was made here: a job that listens in it, on a machine that we have claimed, is nobody's. */
export function isScratchDirectory(path: string): boolean {
  return basename(path).startsWith(PREFIX);
}

/** @throws scratch_full, scratch_unusable */
export async function makeScratch(options: {
  /** Made if it is not there, in a directory that is. On a file system that was mounted when the machine was started. */
  readonly parent: string;
  readonly owner: ProcessOwner | undefined;
  /** Of all disks to be backed up together. */
  readonly disksBytes: number;
}): Promise<Scratch> {
  const { parent, owner, disksBytes } = options;
  const wantedBytes = Math.min(WANTED_BYTES, disksBytes);
  const directory = await makeDirectory(parent, owner);
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    const socketPath = join(directory, 'nbd');
    if (Buffer.byteLength(socketPath) > SOCKET_PATH_LIMIT) {
      throw unusable(parent, 'its path is too long for a socket', undefined);
    }
    await refuseBelow(directory, wantedBytes);
    return {
      directory,
      socketPath,
      fileOf: (disk) => join(directory, disk),
      check: () => refuseBelow(directory, Math.floor(wantedBytes / FLOOR_SHARE)),
      [Symbol.asyncDispose]: remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function makeDirectory(parent: string, owner: ProcessOwner | undefined): Promise<string> {
  try {
    // Not `recursive`: Node tries for ever to make a directory in /proc.
    await mkdir(parent, { mode: 0o755 }).catch((error: unknown) => {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
    });
    const directory = await mkdtemp(join(parent, PREFIX));
    await chmod(directory, 0o700);
    if (owner) await chown(directory, owner.uid, owner.gid);
    return directory;
  } catch (error) {
    throw unusable(parent, systemErrorCode(error) ?? String(error), error);
  }
}

async function refuseBelow(directory: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const freeBytes = bavail * bsize;
  if (freeBytes >= neededBytes) return;
  const detail = `${directory} has ${formatBytes(freeBytes)} left, and ${formatBytes(neededBytes)} are needed.`;
  throw new HoldfastError('scratch_full', detail, {
    facts: { directory, free_bytes: freeBytes, needed_bytes: neededBytes },
  });
}

function unusable(path: string, why: string, cause: unknown): HoldfastError {
  return new HoldfastError('scratch_unusable', `${path} cannot hold scratch space: ${why}`, { cause, facts: { path } });
}
