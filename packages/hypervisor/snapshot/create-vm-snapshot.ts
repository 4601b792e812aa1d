/**
 * A new snapshot of a whole machine. Of a machine that is off, and of a running one whose tables are small, one of the same name
 * inside each of its images; of another running one a layer on each disk.
 */
import { type Clock, HoldfastError } from '@holdfast/base';
import type { Domain } from '../libvirt/domain.ts';
import { readQcow2Tables } from '../qcow2/read-snapshots.ts';
import { findLayer } from './disk-layers.ts';
import { longStall, takeInternalLive, takeInternalOffline, wouldStall } from './internal-vm-snapshot.ts';
import { settleOverlays, takeOverlays, whyNoOverlay } from './overlay-vm-snapshot.ts';
import type { Quietness, Taken } from './quiet-moment.ts';
import { checkSnapshotName, findSnapshot } from './snapshot-name.ts';
import { lookAt, type Seen, type VmCall, type VmSnapshotSummary } from './vm-snapshots.ts';

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
