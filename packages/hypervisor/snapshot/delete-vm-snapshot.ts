/** A machine's snapshot goes: from inside its images, or by committing the layers that lie over it. */
import { HoldfastError } from '@holdfast/base';
import type { Domain } from '../libvirt/domain.ts';
import { readQcow2Tables, type SnapshotUsage } from '../qcow2/read-snapshots.ts';
import { commitLive, type CommitProgress } from './commit-live.ts';
import { commitOffline } from './commit-offline.ts';
import type { CreateVmSnapshot } from './create-vm-snapshot.ts';
import { type DiskLayers, findLayer } from './disk-layers.ts';
import { deleteInternal, longStall, wouldStall } from './internal-vm-snapshot.ts';
import type { OverlayRecord } from './overlay-journal.ts';
import { settleOverlays } from './overlay-vm-snapshot.ts';
import type { VmDisk } from './vm-disks.ts';
import { findVmSnapshot, listVmSnapshots, lookAt, type Seen, type VmCall, type VmSnapshot } from './vm-snapshots.ts';

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
