/**
 * What a backup of a machine can build on: the newest point whose checkpoint the machine still has, and for each disk
 * whether the bitmap of that checkpoint can be trusted. A checkpoint belongs to a point when the point names it, as the
 * `bitmap` of its disks; ours carry the mark of the repository and resource, so that several repositories do not take
 * each other's. All disks of a checkpoint have bitmaps of one name, so a bitmap says nothing of a disk whose image is
 * another one by now.
 */
import { createHash, randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { hasCode } from '@holdfast/base';
import { listPoints, type Repository, type RestorePoint } from '@holdfast/engine';
import type { LiveBitmap } from '@holdfast/hypervisor/libvirt';
import { sourceOf } from './capture-configuration.ts';
import { type GuestConfiguration, type GuestDisk, guestConfigurationOf } from './guest-configuration.ts';
import { type DiskSelection, isTracked, type MachineDisk, whyUntracked } from './machine-disks.ts';

export type DiskBitmap = LiveBitmap & {
  /** An image below has one of this name too: this one does not know all that was written. */
  readonly isInLayers?: boolean;
};

export type DiskBase = {
  readonly disk: MachineDisk;
  /** The checkpoint whose bitmap says what has changed; absent: all of the disk is read. */
  readonly since?: string;
  /** Why all of it is read although an increment was wanted. */
  readonly fallbackReason?: string;
};

export type BackupBase = {
  readonly parent: RestorePoint | undefined;
  readonly disks: readonly DiskBase[];
  /** All disks are wanted, and all were at the parent: they are others only because the machine has others (semantics 41). */
  readonly mayDisksDiffer: boolean;
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

/** Whether some Holdfast made it: of whatever repository and resource. */
export function isOwnCheckpoint(name: string): boolean {
  return /^holdfast-[0-9a-f]{8}-[0-9a-f]{12}$/.test(name);
}

/**
 * @param request.checkpoints that the machine has
 * @param request.bitmaps of the image of each disk, by the disk's name
 * @throws storage errors
 */
export async function chooseBase(request: {
  readonly repository: Repository;
  readonly resource: string;
  /** With the images below them. */
  readonly disks: readonly MachineDisk[];
  readonly selection: DiskSelection;
  readonly checkpoints: ReadonlySet<string>;
  readonly bitmaps: ReadonlyMap<string, readonly DiskBitmap[]>;
  /** A new series, whatever there is. */
  readonly isFull: boolean;
  /** When the machine got disks of an earlier moment: points from before then are of a series that ended there. */
  readonly restoredAt: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<BackupBase> {
  const { repository, resource, disks, selection, checkpoints, bitmaps, isFull, restoredAt = '', signal } = request;
  const { points } = isFull ? { points: [] } : await listPoints({ repository, resource, signal });
  const newest = points.at(-1);
  if (!newest || Date.parse(newest.manifest.created_at) < Date.parse(restoredAt)) {
    return {
      parent: undefined,
      disks: disks.map((disk) => ({ disk })),
      mayDisksDiffer: false,
      checkpoint: undefined,
    };
  }
  const inSeries = points.filter(({ manifest }) => manifest.series === newest.manifest.series);
  const parent = inSeries.findLast((point) => checkpoints.has(checkpointOf(point) ?? '')) ?? newest;
  const machineThen = await machineAt({ repository, point: parent, signal });
  const bases = disks.map((disk) =>
    diskBase({ disk, parent, machineThen, checkpoints, bitmaps: bitmaps.get(disk.target) ?? [] }),
  );
  return {
    parent,
    disks: bases,
    mayDisksDiffer: selection === 'all' && machineThen !== undefined && hasAllDisks(parent, machineThen),
    checkpoint: bases.find(({ since }) => since !== undefined)?.since,
  };
}

/** The same, when the checkpoint turned out to be worth nothing. */
export function withoutCheckpoint(base: BackupBase, fallbackReason: string): BackupBase {
  return {
    ...base,
    checkpoint: undefined,
    disks: base.disks.map(({ disk, ...before }) => ({
      disk,
      fallbackReason: before.fallbackReason ?? fallbackReason,
    })),
  };
}

/** Undefined when the point does not say, or cannot be read any more: that shall not keep a new one from being made. */
async function machineAt(request: {
  readonly repository: Repository;
  readonly point: RestorePoint;
  readonly signal: AbortSignal | undefined;
}): Promise<GuestConfiguration | undefined> {
  try {
    return await guestConfigurationOf(request);
  } catch (error) {
    if (hasCode(error, 'chunk_corrupt', 'repository_damaged', 'repository_newer')) return undefined;
    throw error;
  }
}

function hasAllDisks({ manifest }: RestorePoint, machine: GuestConfiguration): boolean {
  const names = new Set(manifest.disks.map(({ name }) => name));
  return machine.disks.every(({ name }) => names.has(name));
}

/** All disks of a point that have one have the same. */
function checkpointOf({ manifest }: RestorePoint): string | undefined {
  return manifest.disks.find(({ bitmap }) => bitmap !== null)?.bitmap ?? undefined;
}

function diskBase(request: {
  readonly disk: MachineDisk;
  readonly parent: RestorePoint;
  readonly machineThen: GuestConfiguration | undefined;
  readonly checkpoints: ReadonlySet<string>;
  readonly bitmaps: readonly DiskBitmap[];
}): DiskBase {
  const { disk, parent, machineThen, checkpoints, bitmaps } = request;
  if (!isTracked(disk)) return { disk, fallbackReason: whyUntracked(disk) };
  const before = parent.manifest.disks.find(({ name }) => name === disk.target);
  if (!before) return { disk, fallbackReason: 'new_disk' };
  const since = before.bitmap;
  if (since === null) return { disk, fallbackReason: 'no_checkpoint' };
  if (!checkpoints.has(since)) return { disk, fallbackReason: 'checkpoint_not_found' };
  const bitmap = bitmaps.find(({ name }) => name === since);
  if (!bitmap) return { disk, fallbackReason: 'bitmap_not_found' };
  if (bitmap.isInconsistent) return { disk, fallbackReason: 'bitmap_inconsistent' };
  if (bitmap.isInLayers) return { disk, fallbackReason: 'bitmap_in_layers' };
  const diskThen = machineThen?.disks.find(({ name }) => name === disk.target);
  if (!diskThen || !isSameDisk(disk, diskThen)) return { disk, fallbackReason: 'image_replaced' };
  return { disk, since };
}

/** The same image on top, or an overlay over the one of then, or the image that the overlay of then was merged into. */
function isSameDisk({ source, backing = [] }: MachineDisk, then: GuestDisk): boolean {
  const images = [source, ...backing.map((image) => image.source)].map(sourceOf);
  const imagesThen = [then.source, ...then.backing.map((image) => image.source)];
  const isIn = (one: unknown, chain: readonly unknown[]): boolean =>
    chain.some((other) => isDeepStrictEqual(one, other));
  return isIn(then.source, images) || isIn(images[0], imagesThen);
}
