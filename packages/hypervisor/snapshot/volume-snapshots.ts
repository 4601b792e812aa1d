/** Snapshots of one image file that no program has open, by qemu-img. */
import { realpath } from 'node:fs/promises';
import { type Clock, HoldfastError } from '@holdfast/base';
import { type Qcow2Snapshot, readQcow2Snapshots, readQcow2Tables } from '../qcow2/read-snapshots.ts';
import { readBitmapNames } from '../qemu/image-info.ts';
import {
  applyImageSnapshot,
  createImageSnapshot,
  deleteImageSnapshot,
  removeImageBitmap,
} from '../qemu/snapshot-image.ts';
import type { OverlayJournal } from './overlay-journal.ts';
import { checkSnapshotName, findSnapshot, refuseTakenName } from './snapshot-name.ts';

type VolumeCall = { readonly path: string; readonly signal?: AbortSignal | undefined };

/**
 * @throws snapshot_name_invalid, snapshot_exists, volume_busy, target_full, image_unsupported (a raw disk),
 *   image_damaged, source_not_found, source_unreadable, qemu_failed
 */
export async function createVolumeSnapshot(options: VolumeCall & { readonly name: string }): Promise<Qcow2Snapshot> {
  const { path, signal } = options;
  const name = checkSnapshotName(options.name);
  refuseTakenName((await readQcow2Tables({ path })).snapshots, name, path);
  await createImageSnapshot({ path, name, signal });
  return findSnapshot((await readQcow2Snapshots({ path, signal })).snapshots, name, path);
}

/** @throws snapshot_not_found, snapshot_ambiguous, and as createVolumeSnapshot */
export async function deleteVolumeSnapshot(
  options: VolumeCall & { readonly snapshot: string },
): Promise<Qcow2Snapshot> {
  const { path, signal } = options;
  const snapshot = findSnapshot((await readQcow2Snapshots({ path, signal })).snapshots, options.snapshot, path);
  await deleteImageSnapshot({ path, name: snapshot.name, signal });
  return snapshot;
}

export type RevertedVolume = {
  readonly snapshot: Qcow2Snapshot;
  /** What the disk was before; undefined when none was wanted. */
  readonly safetySnapshot: string | undefined;
  /** Dirty bitmaps that had to go: QEMU reverts no disk that has some. The next backup reads all of it. */
  readonly removedBitmaps: readonly string[];
};

/**
 * The disk becomes what it was at the snapshot, in its size too. First another snapshot is taken of what it is, so that
 * nothing is lost (docs/design/semantics.md, 38), then bitmaps are removed, then the disk changes: after a crash between
 * two of these steps the disk is whole and the call can be made again.
 * @throws snapshot_not_found, snapshot_ambiguous, snapshot_blocked (a machine's overlay lies on it), and as
 *   createVolumeSnapshot
 */
export async function revertVolume(
  options: VolumeCall & {
    readonly snapshot: string;
    readonly keepPresent: boolean;
    readonly clock: Clock;
    /** Of the machines of this host. */
    readonly overlays?: OverlayJournal | undefined;
  },
): Promise<RevertedVolume> {
  const { path, keepPresent, clock, overlays, signal } = options;
  if (overlays) await refuseBelowOverlay(path, overlays);
  const snapshot = findSnapshot((await readQcow2Snapshots({ path, signal })).snapshots, options.snapshot, path);
  const safetySnapshot = keepPresent ? safetyName(clock) : undefined;
  if (safetySnapshot !== undefined) await createVolumeSnapshot({ path, name: safetySnapshot, signal });
  const removedBitmaps = await readBitmapNames({ path, signal });
  for (const name of removedBitmaps) await removeImageBitmap({ path, name, signal });
  await applyImageSnapshot({ path, id: snapshot.id, signal });
  return { snapshot, safetySnapshot, removedBitmaps };
}

/** What an image shows through an overlay must not change, and the image itself does not say that one lies on it. */
async function refuseBelowOverlay(path: string, overlays: OverlayJournal): Promise<void> {
  const image = await realpath(path).catch(() => path);
  for (const { name, overlays: ofRecord } of await overlays.listAll()) {
    for (const { path: overlay } of ofRecord) {
      const tables = await readQcow2Tables({ path: overlay }).catch(() => undefined);
      if (tables?.backingFile === undefined) continue;
      if ((await realpath(tables.backingFile).catch(() => undefined)) !== image) continue;
      throw new HoldfastError(
        'snapshot_blocked',
        `${path} lies below ${overlay}, which a machine writes to since its snapshot ${name}`,
        {
          remedy: `Delete that snapshot first (holdfast vm snapshot delete), or go back to it with holdfast vm snapshot restore.`,
          facts: { path, overlay },
        },
      );
    }
  }
}

/** `before-revert-20261121T095500.123Z`: sorts by time, and no two reverts of a disk share a millisecond. */
function safetyName(clock: Clock): string {
  return `before-revert-${new Date(clock.nowMs()).toISOString().replaceAll(/[-:]/g, '')}`;
}
