/**
 * What a backup of a machine can build on: the newest point whose checkpoint the machine still has, and for each disk
 * whether the bitmap of that checkpoint can be trusted. A checkpoint belongs to a point when the point names it, as the
 * `bitmap` of its disks; ours carry the mark of the repository and resource, so that several repositories do not take
 * each other's.
 */
import { createHash, randomBytes } from 'node:crypto';
import { listPoints, type Repository, type RestorePoint } from '@holdfast/engine';
import type { DomainDisk, LiveBitmap } from '@holdfast/hypervisor/libvirt';
import { isTracked } from './machine-disks.ts';

export type DiskBitmap = LiveBitmap & {
  /** An image below has one of this name too: this one does not know all that was written. */
  readonly isInLayers?: boolean;
};

export type DiskBase = {
  readonly disk: DomainDisk;
  /** The checkpoint whose bitmap says what has changed; absent: all of the disk is read. */
  readonly since?: string;
  /** Why all of it is read although an increment was wanted. */
  readonly fallbackReason?: string;
};

export type BackupBase = {
  readonly parent: RestorePoint | undefined;
  readonly disks: readonly DiskBase[];
  /** The one that a disk counts from: it stays until there is a newer point. */
  readonly checkpoint: string | undefined;
};

/** `holdfast-` and eight digits. */
export function checkpointMark({ configuration, domain }: Repository, resource: string): string {
  const identity = [configuration.repository, domain, resource].join('\n');
  return `holdfast-${createHash('sha256').update(identity).digest('hex').slice(0, 8)}`;
}

export function newCheckpointName(mark: string): string {
  return `${mark}-${randomBytes(6).toString('hex')}`;
}

/**
 * @param request.checkpoints that the machine has
 * @param request.bitmaps of the image of each disk, by the disk's name
 * @throws storage errors
 */
export async function chooseBase(request: {
  readonly repository: Repository;
  readonly resource: string;
  readonly disks: readonly DomainDisk[];
  readonly checkpoints: ReadonlySet<string>;
  readonly bitmaps: ReadonlyMap<string, readonly DiskBitmap[]>;
  /** A new series, whatever there is. */
  readonly isFull: boolean;
  /** When the machine got disks of an earlier moment: points from before then are of a series that ended there. */
  readonly restoredAt: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<BackupBase> {
  const { repository, resource, disks, checkpoints, bitmaps, isFull, restoredAt = '', signal } = request;
  const { points } = isFull ? { points: [] } : await listPoints({ repository, resource, signal });
  const newest = points.at(-1);
  if (!newest || Date.parse(newest.manifest.created_at) < Date.parse(restoredAt))
    return { parent: undefined, disks: disks.map((disk) => ({ disk })), checkpoint: undefined };
  const inSeries = points.filter(({ manifest }) => manifest.series === newest.manifest.series);
  const parent = inSeries.findLast((point) => checkpoints.has(checkpointOf(point) ?? '')) ?? newest;
  const bases = disks.map((disk) => diskBase({ disk, parent, checkpoints, bitmaps: bitmaps.get(disk.target) ?? [] }));
  return { parent, disks: bases, checkpoint: bases.find(({ since }) => since !== undefined)?.since };
}

/** The same, when the checkpoint turned out to be worth nothing. */
export function withoutCheckpoint({ parent, disks }: BackupBase, fallbackReason: string): BackupBase {
  return {
    parent,
    checkpoint: undefined,
    disks: disks.map(({ disk, ...base }) => ({ disk, fallbackReason: base.fallbackReason ?? fallbackReason })),
  };
}

/** All disks of a point that have one have the same. */
function checkpointOf({ manifest }: RestorePoint): string | undefined {
  return manifest.disks.find(({ bitmap }) => bitmap !== null)?.bitmap ?? undefined;
}

function diskBase(request: {
  readonly disk: DomainDisk;
  readonly parent: RestorePoint;
  readonly checkpoints: ReadonlySet<string>;
  readonly bitmaps: readonly DiskBitmap[];
}): DiskBase {
  const { disk, parent, checkpoints, bitmaps } = request;
  if (!isTracked(disk)) return { disk, fallbackReason: `a ${disk.format ?? 'raw'} image keeps no bitmap` };
  const before = parent.manifest.disks.find(({ name }) => name === disk.target);
  if (!before) return { disk, fallbackReason: 'new_disk' };
  const since = before.bitmap;
  if (since === null) return { disk, fallbackReason: 'no_checkpoint' };
  if (!checkpoints.has(since)) return { disk, fallbackReason: 'checkpoint_not_found' };
  const bitmap = bitmaps.find(({ name }) => name === since);
  if (!bitmap) return { disk, fallbackReason: 'bitmap_not_found' };
  if (bitmap.isInconsistent) return { disk, fallbackReason: 'bitmap_inconsistent' };
  if (bitmap.isInLayers) return { disk, fallbackReason: 'bitmap_in_layers' };
  return { disk, since };
}
