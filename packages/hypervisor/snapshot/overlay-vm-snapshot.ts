/**
 * A machine's snapshot as a layer: from one moment on each disk of the running machine is written to an overlay of its own, and
 * what it was stays untouched below. That takes as long for a terabyte as for nothing (docs/adr/0012-overlay-snapshots.md).
 */
import { open, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '@holdfast/base';
import type { Domain } from '../libvirt/domain.ts';
import { readQcow2Tables } from '../qcow2/read-snapshots.ts';
import { targetFileError } from '../file/file-errors.ts';
import { createOverlay } from '../qemu/create-image.ts';
import { isWrittenByQemu } from '../qemu/image-lock.ts';
import { commitLive } from './commit-live.ts';
import { type DiskLayers, findLayer, readDiskLayers } from './disk-layers.ts';
import type { OverlayJournal, OverlayRecord } from './overlay-journal.ts';
import { atQuietMoment, type Quietness, type Taken } from './quiet-moment.ts';
import { storedImages, vmDisks } from './vm-disks.ts';

export type TakeOverlays = Quietness & {
  readonly domain: Domain;
  readonly journal: OverlayJournal;
  readonly name: string;
  readonly disks: readonly DiskLayers[];
  /** Targets of the machine's other drives. */
  readonly others: readonly string[];
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
};

/** Why a disk can have no overlay beside it; undefined when it can. */
export function whyNoOverlay({ target, isFile, layers }: DiskLayers): string | undefined {
  if (!isFile) return `${target} is a device, and an overlay is a file beside the image`;
  return layers[0]?.tables.isEncrypted ? `${target} is encrypted, and its overlay would not be` : undefined;
}

/**
 * All disks or none. The record is there before the overlays: after a kill of us they have their name, and only how consistent
 * they are is not known.
 * @throws see atQuietMoment; target_full, target_unwritable, libvirt errors
 */
export async function takeOverlays(request: TakeOverlays): Promise<Taken & { readonly takenAtMs: number }> {
  const { domain, journal, name, disks, others, agentTimeoutMs, clock, signal } = request;
  const takenAtMs = clock.nowMs();
  const stamp = new Date(takenAtMs).toISOString().replaceAll(/[-:.]/g, '');
  const overlays = disks.map(({ target, path }) => ({
    target,
    path: join(dirname(path), `${domain.name}-${target}-${stamp}.qcow2`),
  }));
  const record: OverlayRecord = {
    ...{ uuid: domain.uuid, name, takenAtMs, overlays },
    state: 'taking',
    consistency: undefined,
    reason: null,
  };
  await journal.write(record);
  try {
    // Before the moment: a guest that is frozen waits for no making of files.
    for (const [index, disk] of disks.entries()) await makeOverlay(disk, overlays[index]?.path ?? '', signal);
    const taken = await atQuietMoment({
      ...request,
      take: async () => await domain.layers.add({ overlays, others, signal }),
      takeFrozen: async () => await domain.layers.addFrozen({ overlays, others, agentTimeoutMs }),
      undo: async () => {
        await journal.write({ ...record, state: 'deleting' });
        await commitLive({ domain, journal, record });
      },
    });
    await journal.write({ ...record, state: 'taken', consistency: taken.consistency, reason: taken.reason });
    return { ...taken, takenAtMs };
  } catch (error) {
    await settleOverlays({ domain, journal }).catch(() => undefined);
    throw error;
  }
}

/** As much of others' as the image that it lies on: its content is the same guest's. */
async function makeOverlay({ path: below, layers }: DiskLayers, path: string, signal?: AbortSignal): Promise<void> {
  const { sizeBytes, clusterBytes } = layers[0]!.tables;
  try {
    const { uid, gid, mode } = await stat(below);
    await using file = await open(path, 'wx', 0o600);
    await createOverlay({ path, below, sizeBytes, clusterBytes, signal });
    await file.chown(uid, gid);
    await file.chmod(mode & 0o777);
    await file.sync();
  } catch (error) {
    throw targetFileError(path, error);
  }
}

/**
 * Puts in order what was cut off: a snapshot whose overlays are there counts as taken, one that came to nothing is forgotten, and
 * overlays go that were committed already. What a disk of the machine may still need, or one that it had before, stays.
 */
export async function settleOverlays(request: {
  readonly domain: Domain;
  readonly journal: OverlayJournal;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { domain, journal, signal } = request;
  const records = await journal.list(domain.uuid);
  const unfinished = records.filter(({ state }) => state !== 'taken');
  if (unfinished.length === 0) return;
  const { disks } = await vmDisks(domain, signal);
  const layers = await Promise.all(disks.map(async (disk) => await readDiskLayers(disk, records)));
  const used = new Set(layers.flatMap((disk) => disk.layers.map(({ path }) => path)));
  const stored = await storedImages(domain, signal);
  for (const record of unfinished) {
    if (layers.some((disk) => findLayer(disk, record))) {
      if (record.state === 'taking') await journal.write({ ...record, state: 'taken' });
      continue;
    }
    let left = 0;
    for (const { path } of record.overlays) {
      if (used.has(path) || stored.has(path)) left += 1;
      else if (!(await removeIfUseless(path, record.state === 'deleting' ? used : new Set()))) left += 1;
    }
    if (left === 0) await journal.remove(record);
  }
}

/**
 * An overlay that holds nothing, or one that was being committed into an image that the machine has, while it itself is not
 * there any more: only the end of the commit does that. True when it is gone.
 */
async function removeIfUseless(path: string, committedInto: ReadonlySet<string>): Promise<boolean> {
  const stats = await stat(path, { bigint: true }).catch(() => undefined);
  if (!stats) return true;
  if (await isWrittenByQemu(stats)) return false;
  const { activeTableBytes, snapshots, backingFile = '' } = await readQcow2Tables({ path });
  const isEmpty = activeTableBytes === 0 && snapshots.length === 0;
  if (!isEmpty && !committedInto.has(backingFile)) return false;
  await rm(path, { force: true });
  return true;
}
