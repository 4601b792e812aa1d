/**
 * A machine as it was at a snapshot of it: fresh disks beside the old ones, swapped in its definition in one step. Nothing of
 * the old ones is written or removed, so all snapshots stay in them (docs/design/semantics.md, 38).
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Clock, HoldfastError } from '@holdfast/base';
import { describeDomain, type Domain, type Libvirt } from '@holdfast/hypervisor/libvirt';
import {
  cloneLayer,
  cloneSnapshot,
  findVmSnapshot,
  listVmSnapshots,
  type SnapshotJournal,
  type VmSnapshot,
} from '@holdfast/hypervisor/snapshot';
import { define } from './restore-as-new.ts';
import {
  forgetCheckpoints,
  refuseUnlessOff,
  type ReplacedDisk,
  swapped,
  useOf,
  withImagesBelow,
} from './restore-in-place.ts';
import type { PlannedDisk, RestorePlan } from './restore-plan.ts';
import { UnfinishedRestore } from './unfinished-restore.ts';
import { adoptOwner } from './write-disks.ts';

export type RestoreSnapshotOptions = {
  readonly libvirt: Libvirt;
  readonly domain: Domain;
  readonly journal: SnapshotJournal;
  /** Its name. */
  readonly snapshot: string;
  /** Where the fresh disks go, absolute; beside the old ones when absent. */
  readonly directory?: string | undefined;
  readonly clock: Clock;
  readonly onProgress?:
    | ((progress: { readonly disk: string; readonly doneBytes: number; readonly totalBytes: number }) => void)
    | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type MachineOfSnapshot = {
  readonly snapshot: VmSnapshot;
  readonly disks: readonly PlannedDisk[];
  /** What the machine used before: untouched, and its own no more. */
  readonly replaced: readonly ReplacedDisk[];
};

/**
 * The machine is off before and after; everything of its definition but the disks stays, its UEFI variables too. What
 * libvirt noted of checkpoints goes: fresh disks have no bitmaps, so that the next backup reads in full. A failure or an
 * abort leaves machine and directory as they were; after a kill the same call goes on.
 * @throws snapshot_not_found, snapshot_ambiguous, snapshot_incomplete, vm_state_invalid (it runs), vm_busy,
 *   image_unsupported, image_damaged, source_changed, target errors, libvirt errors
 */
export async function restoreVmSnapshot(options: RestoreSnapshotOptions): Promise<MachineOfSnapshot> {
  const { libvirt, domain, journal, onProgress, signal } = options;
  libvirt.refuseRemote();
  await refuseUnlessOff(domain, { signal });
  const xml = await domain.xml({ which: 'stored', signal });
  const current = describeDomain(xml);
  const snapshots = await listVmSnapshots({ domain, journal, signal });
  const snapshot = findVmSnapshot(snapshots, options.snapshot, domain);
  refuseIncomplete(snapshot, domain);
  const wanted = planOf(options, snapshot);
  await using unfinished = await UnfinishedRestore.open({
    directory: dirname(wanted.disks[0]!.path),
    plan: wanted,
    useOf: async (earlier) => await useOf(current, earlier),
  });
  const { plan, stage } = unfinished;
  if (stage !== 'done') {
    await unfinished.begin();
    for (const disk of plan.disks) {
      const { name, path, format } = disk;
      const old = snapshot.disks.find(({ target }) => target === name);
      // An image is at its place when it is whole, and not before: an earlier run came that far.
      if (!old || existsSync(path)) continue;
      const clone = {
        path: old.image,
        target: { path, format },
        onProgress: (progress: { readonly doneBytes: number; readonly totalBytes: number }) =>
          onProgress?.({ disk: name, ...progress }),
        signal,
      };
      if (old.kind === 'layer') await cloneLayer(clone);
      else await cloneSnapshot({ ...clone, snapshot: snapshot.name });
      await adoptOwner(disk, old.path);
    }
    await refuseUnlessOff(domain, { signal });
    await define(unfinished, libvirt, swapped(xml, plan, options.clock));
  }
  await forgetCheckpoints(domain);
  await unfinished.finish();
  const { uuid } = domain;
  const replaced = await withImagesBelow({ replaced: plan.replaced, journal: journal.overlays, uuid });
  return { snapshot, disks: plan.disks, replaced };
}

function refuseIncomplete({ name, missing, isDeleting }: VmSnapshot, domain: Domain): void {
  if (isDeleting) {
    const begun = `The deletion of the snapshot ${name} of ${domain.name} has begun; its disks are not what they were`;
    throw new HoldfastError('snapshot_incomplete', begun, {
      remedy: 'Run holdfast vm snapshot delete again: it goes on.',
      facts: { vm: domain.name },
    });
  }
  if (missing.length === 0) return;
  const detail = `The snapshot ${name} of ${domain.name} lacks ${missing.join(', ')}`;
  throw new HoldfastError('snapshot_incomplete', detail, { facts: { vm: domain.name, missing } });
}

function planOf(options: RestoreSnapshotOptions, snapshot: VmSnapshot): RestorePlan {
  const { domain, directory, clock } = options;
  const stamp = new Date(clock.nowMs()).toISOString().replace(/[-:]|\.\d+/g, '');
  return {
    kind: 'snapshot',
    repository: null,
    point: `${new Date(snapshot.takenAtMs).toISOString()} ${snapshot.name}`,
    name: domain.name,
    uuid: domain.uuid,
    disks: snapshot.disks.map(({ target, path }) => ({
      name: target,
      format: 'qcow2',
      path: join(directory ?? dirname(path), `${domain.name}-${target}-${stamp}.qcow2`),
    })),
    nvram: null,
    tpm: null,
    replaced: snapshot.disks.map(({ target, path }) => ({ name: target, path })),
  };
}
