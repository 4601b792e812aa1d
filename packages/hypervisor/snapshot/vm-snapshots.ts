/**
 * Snapshots of a whole machine, all disks of one moment: what there is of them, inside its images and as layers. How they are
 * made is in create-vm-snapshot.ts, how they go in delete-vm-snapshot.ts.
 */
import { HoldfastError } from '@holdfast/base';
import type { Domain } from '../libvirt/domain.ts';
import { measureHidden } from '../qcow2/hidden-bytes.ts';
import { type Qcow2Snapshot, readQcow2Snapshots, type SnapshotUsage } from '../qcow2/read-snapshots.ts';
import { type DiskLayers, findLayer, readDiskLayers } from './disk-layers.ts';
import type { OverlayRecord } from './overlay-journal.ts';
import type { SnapshotConsistency, SnapshotJournal } from './snapshot-journal.ts';
import { type VmDisk, vmDisks } from './vm-disks.ts';

/** What a snapshot is on one disk. */
export type VmSnapshotDisk = VmDisk &
  (
    | {
        readonly kind: 'internal';
        /** One of the disk's own layers, mostly the topmost. */
        readonly image: string;
        readonly snapshot: Qcow2Snapshot;
      }
    | {
        readonly kind: 'layer';
        /** The image is the disk at that moment, as long as nothing is committed into it. */
        readonly image: string;
        /** What was written since. */
        readonly overlay: string;
        readonly sizeBytes: number;
        readonly usage: SnapshotUsage;
      }
  );

export type VmSnapshotSummary = {
  readonly name: string;
  readonly takenAtMs: number;
  readonly kind: VmSnapshotDisk['kind'];
  readonly disks: readonly VmDisk[];
  /** Disks of the machine that lack it: added later, or the making was killed. Empty for one that can be restored. */
  readonly missing: readonly string[];
  /** Its deletion has begun and not ended: it can only be deleted. */
  readonly isDeleting: boolean;
  /** Undefined when nobody noted it. */
  readonly consistency: SnapshotConsistency | undefined;
  readonly reason: string | null;
};

export type VmSnapshot = Omit<VmSnapshotSummary, 'disks'> & { readonly disks: readonly VmSnapshotDisk[] };

export type VmCall = {
  readonly domain: Domain;
  readonly journal: SnapshotJournal;
  readonly signal?: AbortSignal | undefined;
};

/** Oldest first. Also while the machine runs. @throws image_unsupported, image_damaged, libvirt errors */
export async function listVmSnapshots(call: VmCall): Promise<readonly VmSnapshot[]> {
  const { disks, records } = await lookAt(call);
  const snapshots = [...(await listInternal(call, disks)), ...(await listLayers(call, disks, records))];
  return snapshots.toSorted((one, other) => one.takenAtMs - other.takenAtMs);
}

async function listInternal(
  { domain, journal, signal }: VmCall,
  disks: readonly DiskLayers[],
): Promise<readonly VmSnapshot[]> {
  const byName = new Map<string, (VmSnapshotDisk & { kind: 'internal' })[]>();
  for (const { target, path, isFile, layers } of disks) {
    for (const { path: image } of layers) {
      for (const snapshot of (await readQcow2Snapshots({ path: image, signal })).snapshots) {
        const found = { target, path, isFile, kind: 'internal', image, snapshot } as const;
        byName.set(snapshot.name, [...(byName.get(snapshot.name) ?? []), found]);
      }
    }
  }
  return await Promise.all(
    [...byName].map(async ([name, found]): Promise<VmSnapshot> => {
      const takenAtMs = Math.min(...found.map(({ snapshot }) => snapshot.takenAtMs));
      const note = await journal.read({ uuid: domain.uuid, name, takenAtMs });
      const missing = missingDisks(disks, found);
      const worth = { consistency: note?.consistency, reason: note?.reason ?? null };
      return { name, takenAtMs, kind: 'internal', disks: found, missing, isDeleting: false, ...worth };
    }),
  );
}

async function listLayers(
  { signal }: VmCall,
  disks: readonly DiskLayers[],
  records: readonly OverlayRecord[],
): Promise<readonly VmSnapshot[]> {
  const snapshots: VmSnapshot[] = [];
  for (const record of records) {
    const found: VmSnapshotDisk[] = [];
    for (const disk of disks) {
      const place = findLayer(disk, record);
      if (!place) continue;
      const { target, path, isFile } = disk;
      const [image, overlay] = [place.layer.path, place.overlay.path];
      const usage = await measureHidden({ path: image, above: overlay, signal });
      const { sizeBytes } = place.layer.tables;
      found.push({ target, path, isFile, kind: 'layer', image, overlay, sizeBytes, usage });
    }
    if (found.length === 0) continue;
    const { name, takenAtMs, consistency, reason, state } = record;
    const missing = missingDisks(disks, found);
    snapshots.push({
      ...{ name, takenAtMs, consistency, reason, missing },
      kind: 'layer',
      disks: found,
      isDeleting: state === 'deleting',
    });
  }
  return snapshots;
}

function missingDisks(disks: readonly VmDisk[], found: readonly VmDisk[]): readonly string[] {
  return disks.map(({ target }) => target).filter((target) => !found.some((disk) => disk.target === target));
}

/** @throws snapshot_not_found, snapshot_ambiguous */
export function findVmSnapshot(snapshots: readonly VmSnapshot[], name: string, domain: Domain): VmSnapshot {
  const found = snapshots.filter((one) => one.name === name);
  const [snapshot] = found;
  if (!snapshot)
    throw new HoldfastError('snapshot_not_found', `${domain.name} has no snapshot ${JSON.stringify(name)}`);
  const targets = snapshot.disks.map(({ target }) => target);
  if (found.length === 1 && new Set(targets).size === targets.length) return snapshot;
  throw new HoldfastError('snapshot_ambiguous', `A disk of ${domain.name} has several snapshots with the name ${name}`);
}

/** A machine's disks in their layers, and what is noted of layers. */
export type Seen = {
  readonly running: boolean;
  readonly disks: readonly DiskLayers[];
  readonly others: readonly string[];
  readonly records: readonly OverlayRecord[];
};

export async function lookAt({ domain, journal, signal }: VmCall): Promise<Seen> {
  const records = await journal.overlays.list(domain.uuid);
  const { running, disks, others } = await vmDisks(domain, signal);
  const layers = await Promise.all(disks.map(async (disk) => await readDiskLayers(disk, records)));
  return { running, disks: layers, others, records };
}
