/**
 * Snapshots of a whole machine, all disks of one moment. Of a machine that is off, and of a running one whose tables are small,
 * one of the same name inside each of its images; of another running one a layer on each disk.
 */
import { type Clock, HoldfastError } from '@holdfast/base';
import type { Domain } from '../libvirt/domain.ts';
import { measureHidden } from '../qcow2/hidden-bytes.ts';
import {
  type Qcow2Snapshot,
  readQcow2Snapshots,
  readQcow2Tables,
  type SnapshotUsage,
} from '../qcow2/read-snapshots.ts';
import { commitLive, type CommitProgress } from './commit-live.ts';
import { commitOffline } from './commit-offline.ts';
import { type DiskLayers, findLayer, readDiskLayers } from './disk-layers.ts';
import {
  deleteInternal,
  longStall,
  takeInternalLive,
  takeInternalOffline,
  wouldStall,
} from './internal-vm-snapshot.ts';
import type { OverlayRecord } from './overlay-journal.ts';
import { settleOverlays, takeOverlays, whyNoOverlay } from './overlay-vm-snapshot.ts';
import type { Quietness, Taken } from './quiet-moment.ts';
import type { SnapshotConsistency, SnapshotJournal } from './snapshot-journal.ts';
import { checkSnapshotName, findSnapshot } from './snapshot-name.ts';
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

type VmCall = {
  readonly domain: Domain;
  readonly journal: SnapshotJournal;
  readonly signal?: AbortSignal | undefined;
};

export type CreateVmSnapshot = VmCall &
  Quietness & {
    readonly name: string;
    /** Inside the images although the machine would stand still for more than a second (docs/adr/0011-snapshot-stall.md). */
    readonly allowStall: boolean;
    readonly clock: Clock;
  };

export type CreatedVmSnapshot = VmSnapshotSummary & Pick<Taken, 'frozenMs'>;

/**
 * A running machine gets layers when it would stand still for too long, and when it has some already: then its snapshots can be
 * deleted in any order. After a failure no disk has the snapshot. A kill of us in the middle leaves, of a machine that
 * is off, a snapshot that misses disks, which `deleteVmSnapshot` removes; of a running one, all or none.
 * @throws snapshot_name_invalid, snapshot_exists, snapshot_would_stall (no layer can be put on a disk), image_unsupported,
 *   image_damaged, volume_busy, vm_busy (a backup runs), guest_agent_missing, guest_agent_unresponsive, target_full,
 *   qemu_failed, libvirt errors
 */
export async function createVmSnapshot(request: CreateVmSnapshot): Promise<CreatedVmSnapshot> {
  const { domain, journal, allowStall, signal } = request;
  const name = checkSnapshotName(request.name);
  await settleOverlays({ domain, journal: journal.overlays, signal });
  const { running, disks, others, records } = await lookAt(request);
  refuseTakenName(name, { domain, disks, records });
  const summary = { name, disks, missing: [], isDeleting: false };
  const tableBytes = disks.reduce((sum, { layers }) => sum + (layers[0]?.tables.activeTableBytes ?? 0), 0);
  const hasLayers = disks.some(({ layers }) => layers.length > 1);
  if (running && !allowStall && (hasLayers || wouldStall(tableBytes))) {
    const why = disks.map(whyNoOverlay).find((reason) => reason !== undefined);
    if (why === undefined) {
      const taken = await takeOverlays({ ...request, name, journal: journal.overlays, disks, others });
      return { ...summary, kind: 'layer', ...taken };
    }
    if (wouldStall(tableBytes)) throw longStall(domain, tableBytes, `, and ${why}`);
  }
  const taken = running
    ? await takeInternalLive({ ...request, name }, disks)
    : await takeInternalOffline({ ...request, name }, disks);
  const times = await Promise.all(
    disks.map(async ({ path }) => findSnapshot((await readQcow2Tables({ path })).snapshots, name, path).takenAtMs),
  );
  const takenAtMs = Math.min(...times);
  const { consistency, reason } = taken;
  await journal.write({ uuid: domain.uuid, name, takenAtMs }, { consistency, reason });
  return { ...summary, kind: 'internal', takenAtMs, ...taken };
}

type Seen = {
  readonly running: boolean;
  readonly disks: readonly DiskLayers[];
  readonly others: readonly string[];
  readonly records: readonly OverlayRecord[];
};

async function lookAt({ domain, journal, signal }: VmCall): Promise<Seen> {
  const records = await journal.overlays.list(domain.uuid);
  const { running, disks, others } = await vmDisks(domain, signal);
  const layers = await Promise.all(disks.map(async (disk) => await readDiskLayers(disk, records)));
  return { running, disks: layers, others, records };
}

/** @throws snapshot_exists */
function refuseTakenName(
  name: string,
  { domain, disks, records }: Pick<Seen, 'disks' | 'records'> & { readonly domain: Domain },
): void {
  const inside = disks.flatMap(({ layers }) => layers.flatMap(({ tables }) => tables.snapshots));
  const layered = records.filter((record) => disks.some((disk) => findLayer(disk, record)));
  if (![...inside, ...layered].some((snapshot) => snapshot.name === name)) return;
  throw new HoldfastError('snapshot_exists', `${domain.name} has a snapshot ${JSON.stringify(name)} already`, {
    facts: { snapshot: name },
  });
}

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

/**
 * From every disk that has it. A call that was cut off, or failed with one disk, can be made again.
 * @throws snapshot_not_found when no disk has it, snapshot_ambiguous, snapshot_blocked (another snapshot must go first),
 *   snapshot_would_stall, vm_busy (a backup runs), volume_busy, target_full, qemu_failed, libvirt errors
 */
export async function deleteVmSnapshot(
  request: VmCall &
    Pick<CreateVmSnapshot, 'name' | 'allowStall'> & {
      readonly onProgress?: ((progress: CommitProgress) => void) | undefined;
    },
): Promise<VmSnapshot> {
  const { domain, journal, name, signal } = request;
  await settleOverlays({ domain, journal: journal.overlays, signal });
  const snapshot = findVmSnapshot(await listVmSnapshots(request), name, domain);
  const seen = await lookAt(request);
  if (snapshot.kind === 'layer') {
    await deleteLayers(request, snapshot, seen);
    await settleOverlays({ domain, journal: journal.overlays });
  } else {
    const disks = insideOf(snapshot);
    if (seen.running) await refuseWhileRunning(request, disks);
    await deleteInternal({ domain, name, running: seen.running, disks, signal });
    await journal.remove({ uuid: domain.uuid, name });
  }
  return snapshot;
}

type InsideDisk = VmDisk & { readonly image: string; readonly id: string; readonly usage: SnapshotUsage };

function insideOf({ disks }: VmSnapshot): readonly InsideDisk[] {
  return disks.flatMap((disk) =>
    disk.kind === 'internal' ? [{ ...disk, id: disk.snapshot.id, usage: disk.snapshot.usage }] : [],
  );
}

/** QEMU deletes a snapshot only from the topmost image, and the machine goes on between one disk and the next. */
async function refuseWhileRunning(
  { domain, name, allowStall }: Parameters<typeof deleteVmSnapshot>[0],
  disks: readonly InsideDisk[],
): Promise<void> {
  for (const { path, image, usage } of disks) {
    if (image !== path) {
      const detail = `The snapshot ${name} of ${domain.name} lies in ${image}, below the image that the machine writes to`;
      throw blocked(domain, detail, 'Shut the machine down first, or delete the newer snapshots first.');
    }
    const { activeTableBytes } = await readQcow2Tables({ path });
    const tableBytes = activeTableBytes + (usage.kind === 'known' ? usage.tableBytes : 0);
    if (!allowStall && wouldStall(tableBytes)) throw longStall(domain, tableBytes);
  }
}

async function deleteLayers(
  request: Parameters<typeof deleteVmSnapshot>[0],
  snapshot: VmSnapshot,
  { running, disks, records }: Seen,
): Promise<void> {
  const { domain, name, onProgress, signal } = request;
  const journal = request.journal.overlays;
  const record = records.find((one) => one.name === name && one.takenAtMs === snapshot.takenAtMs);
  if (!record) throw new HoldfastError('snapshot_not_found', `The record of the snapshot ${name} is gone`);
  for (const disk of disks) refuseLoss({ domain, disk, record });
  // From here on what lies below the overlays is written to.
  await journal.write({ ...record, state: 'deleting' });
  const commit = { domain, journal, record, onProgress, signal };
  await (running ? commitLive(commit) : commitOffline(commit));
}

/** Of what the commit of the overlay would lose or change. @throws snapshot_blocked, image_unsupported */
function refuseLoss(request: {
  readonly domain: Domain;
  readonly disk: DiskLayers;
  readonly record: OverlayRecord;
}): void {
  const { domain, disk, record } = request;
  const place = findLayer(disk, record);
  if (!place) return;
  const { overlay, layer } = place;
  const inside = overlay.tables.snapshots.map(({ name }) => name);
  if (inside.length > 0) {
    const names = inside.map((name) => JSON.stringify(name)).join(', ');
    const detail = `Deleting ${record.name} of ${domain.name} would lose snapshots that lie in ${overlay.path}: ${names}`;
    throw blocked(domain, detail, `Delete first: ${names}.`);
  }
  if (overlay.tables.sizeBytes >= layer.tables.sizeBytes) return;
  const detail = `The disk ${disk.target} of ${domain.name} has shrunk from ${layer.tables.sizeBytes} to ${overlay.tables.sizeBytes} bytes since the snapshot ${record.name}`;
  throw new HoldfastError('image_unsupported', detail, {
    remedy: `Make it as large as it was first: virsh blockresize ${domain.name} ${disk.target} ${layer.tables.sizeBytes}B.`,
    facts: { vm: domain.name, disk: disk.target },
  });
}

function blocked({ name }: Domain, detail: string, remedy: string): HoldfastError {
  return new HoldfastError('snapshot_blocked', detail, { remedy, facts: { vm: name } });
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
