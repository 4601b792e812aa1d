/**
 * Our own checkpoints on a machine: only the one of the newest point stays, as QEMU notes every write once for each. What
 * is of others, or of another repository, is not touched; but a bitmap of ours whose checkpoint libvirt does not know (the
 * machine was defined anew, renamed, cloned, restored) serves no repository any more.
 */
import { hasCode } from '@holdfast/base';
import { listImageBitmaps, removeImageBitmap } from '@holdfast/hypervisor/bitmaps';
import {
  type Domain,
  type DomainDisk,
  type LiveImage,
  liveBitmaps,
  removeLiveBitmap,
} from '@holdfast/hypervisor/libvirt';
import { isOwnCheckpoint } from './backup-base.ts';

/**
 * Removes those with this mark: of unfinished backups, of points before the last, and what QEMU made useless when it died.
 * Also bitmaps of ours that libvirt does not know any more.
 * @throws libvirt errors, qemu_failed
 */
export async function removeStaleCheckpoints(request: {
  readonly domain: Domain;
  readonly mark: string;
  readonly keep: string | undefined;
  /** What the machine was just seen to have; asked for when absent. */
  readonly seen?: { readonly checkpoints: readonly string[]; readonly images: ReadonlyMap<string, LiveImage> };
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { domain, mark, keep, seen, signal } = request;
  const checkpoints = seen?.checkpoints ?? (await domain.checkpoints.list({ signal }));
  const stale = checkpoints.filter((name) => isStale(name, { mark, keep }));
  for (const checkpoint of stale) await removeCheckpoint({ domain, checkpoint, signal });
  // A checkpoint takes its bitmaps along.
  const images = seen && stale.length === 0 ? seen.images : await liveBitmaps(domain, { signal });
  const isUseless = uselessBitmaps({ checkpoints, removed: stale });
  for (const { node, bitmaps } of images.values()) {
    for (const { name } of bitmaps.filter(({ name }) => isUseless(name))) {
      await removeLiveBitmap(domain, { node, bitmap: name, signal });
    }
  }
}

/**
 * The same of a machine that is off, by the checkpoint's name.
 * @param request.images the qcow2 images that it has
 * @throws source_not_found, source_unreadable and target_unwritable (also: it was started), libvirt errors, qemu_failed
 */
export async function removeStoppedCheckpoints(request: {
  readonly domain: Domain;
  readonly images: readonly string[];
  readonly isStale: (checkpoint: string) => boolean;
}): Promise<void> {
  const { domain, images } = request;
  const checkpoints = await domain.checkpoints.list();
  const stale = checkpoints.filter(request.isStale);
  const isUseless = uselessBitmaps({ checkpoints, removed: stale });
  for (const path of images) {
    for (const { name } of (await listImageBitmaps({ path })).filter((bitmap) => isUseless(bitmap.name))) {
      await removeImageBitmap({ path, name });
    }
  }
  for (const checkpoint of stale) await domain.checkpoints.remove({ checkpoint, metadataOnly: true });
}

/** Ours of this repository and resource, of which only one is to stay. */
export function isStale(
  name: string,
  { mark, keep }: { readonly mark: string; readonly keep: string | undefined },
): boolean {
  return name.startsWith(`${mark}-`) && name !== keep;
}

function uselessBitmaps(request: {
  /** That libvirt knows, or knew until those in `removed` went. */
  readonly checkpoints: readonly string[];
  readonly removed: readonly string[];
}): (bitmap: string) => boolean {
  const { checkpoints, removed } = request;
  return (bitmap) => removed.includes(bitmap) || (isOwnCheckpoint(bitmap) && !checkpoints.includes(bitmap));
}

/** Where a bitmap of it is broken or gone, libvirt can only forget it; what is left of its bitmaps is removed one by one. */
async function removeCheckpoint(request: {
  readonly domain: Domain;
  readonly checkpoint: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { domain, checkpoint, signal } = request;
  try {
    await domain.whenFree(() => domain.checkpoints.remove({ checkpoint, signal }), { signal });
  } catch (error) {
    if (hasCode(error, 'checkpoint_not_found')) return;
    if (!hasCode(error, 'checkpoint_inconsistent', 'libvirt_failed')) throw error;
    await domain.checkpoints.remove({ checkpoint, metadataOnly: true, signal });
  }
}

/** Of a backup that failed. Of a machine that is off by now libvirt forgets it, and the next backup removes its bitmaps. */
export async function removeUnfinishedCheckpoint(domain: Domain, checkpoint: string): Promise<void> {
  try {
    await domain.whenFree(() => domain.checkpoints.remove({ checkpoint }));
  } catch (error) {
    if (hasCode(error, 'checkpoint_not_found')) return;
    await domain.checkpoints.remove({ checkpoint, metadataOnly: true });
  }
}

/** By target of the disk. */
export function bitmapsByDisk(
  disks: readonly Pick<DomainDisk, 'target' | 'alias'>[],
  images: ReadonlyMap<string, LiveImage>,
): ReadonlyMap<string, LiveImage['bitmaps']> {
  return new Map(disks.map(({ target, alias }) => [target, images.get(alias ?? '')?.bitmaps ?? []]));
}
