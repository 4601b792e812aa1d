/** Brings the disks of a plan back into their files. */
import { chmod, chown, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HoldfastError } from '@holdfast/base';
import type { Repository, RestorePoint } from '@holdfast/engine';
import { type RestoreOutcome, type RestoreProgress, restoreDisk } from '@holdfast/engine/restore';
import { openBlockTarget } from '@holdfast/hypervisor/target';
import type { PlannedDisk } from './restore-plan.ts';
import type { UnfinishedRestore } from './unfinished-restore.ts';

export type DiskProgress = RestoreProgress & { readonly disk: string };

export type RestoredDisk = PlannedDisk & {
  /** Undefined when an earlier run had brought it back. */
  readonly outcome: RestoreOutcome | undefined;
};

export type WriteOptions = {
  readonly repository: Repository;
  readonly point: RestorePoint;
  readonly onProgress?: ((progress: DiskProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

/**
 * One after the other: each is read from the storage by many fetches at once. Durable afterwards. Of an earlier run
 * only what is right by its chunk ids is kept.
 * @throws disk_not_found, chunk_corrupt, target errors, storage errors
 */
export async function writeDisks(
  unfinished: UnfinishedRestore,
  options: WriteOptions,
): Promise<readonly RestoredDisk[]> {
  const restored: RestoredDisk[] = [];
  for (const disk of unfinished.plan.disks) {
    const outcome = await writeDisk({ ...options, disk, overwrite: unfinished.stage === 'resumed' });
    restored.push({ ...disk, outcome });
    await adoptOwner(disk, unfinished.plan.replaced.find(({ name }) => name === disk.name)?.path);
  }
  for (const directory of new Set(unfinished.plan.disks.map(({ path }) => dirname(path)))) {
    await using handle = await open(directory, 'r');
    await handle.sync();
  }
  return restored;
}

async function writeDisk(
  request: WriteOptions & { readonly disk: PlannedDisk; readonly overwrite: boolean },
): Promise<RestoreOutcome> {
  const { repository, point, disk, overwrite, onProgress, signal } = request;
  const { name, format, path } = disk;
  const inPoint = point.manifest.disks.find((one) => one.name === name);
  if (!inPoint) throw new HoldfastError('disk_not_found', `Point ${point.manifest.id} has no disk ${name}.`);
  await using target = await openBlockTarget({
    location: { kind: 'file', path },
    format,
    sizeBytes: inPoint.size_bytes,
    overwrite,
    signal,
  });
  return await restoreDisk({
    repository,
    point,
    disk: name,
    target,
    signal,
    onProgress: (progress) => onProgress?.({ disk: name, ...progress }),
  });
}

/** As the disk that it takes the place of, for where libvirt does not see to that by itself. */
export async function adoptOwner({ path }: PlannedDisk, replaced: string | undefined): Promise<void> {
  const old = replaced === undefined ? undefined : await stat(replaced).catch(() => undefined);
  if (!old?.isFile()) return;
  await chown(path, old.uid, old.gid);
  await chmod(path, old.mode & 0o777);
}
