/**
 * Our own checkpoints on a machine: only the one of the newest point stays, as QEMU notes every write once for each. What
 * is of others, or of another repository, is not touched.
 */
import { hasCode } from '@holdfast/base';
import { type Domain, type LiveImage, liveBitmaps, removeLiveBitmap } from '@holdfast/hypervisor/libvirt';

/**
 * Removes those with this mark: of unfinished backups, of points before the last, and what QEMU made useless when it died.
 * Also bitmaps that libvirt does not know any more.
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
  const isStale = (name: string): boolean => name.startsWith(`${mark}-`) && name !== keep;
  const stale = (seen?.checkpoints ?? (await domain.checkpoints.list({ signal }))).filter(isStale);
  for (const checkpoint of stale) await removeCheckpoint({ domain, checkpoint, signal });
  // A checkpoint takes its bitmaps along.
  const images = seen && stale.length === 0 ? seen.images : await liveBitmaps(domain, { signal });
  for (const { node, bitmaps } of images.values()) {
    for (const { name } of bitmaps.filter(({ name }) => isStale(name))) {
      await removeLiveBitmap(domain, { node, bitmap: name, signal });
    }
  }
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
  disks: readonly { readonly target: string; readonly source: { readonly kind: string; readonly path?: string } }[],
  images: ReadonlyMap<string, LiveImage>,
): ReadonlyMap<string, LiveImage['bitmaps']> {
  return new Map(disks.map(({ target, source }) => [target, images.get(source.path ?? '')?.bitmaps ?? []]));
}
