/**
 * A machine's snapshot inside its images, one of the same name in each. QEMU takes and deletes it at one blow: it reads and writes
 * the L2 tables of the disk and their reference counts, and the guest waits (docs/adr/0011-snapshot-stall.md).
 */
import { formatBytes, HoldfastError, MiB } from '@holdfast/base';
import type { Domain } from '../libvirt/domain.ts';
import { readQcow2Tables } from '../qcow2/read-snapshots.ts';
import { createImageSnapshot, deleteImageSnapshot } from '../qemu/snapshot-image.ts';
import { atQuietMoment, type Quietness, type Taken, unlessBusy } from './quiet-moment.ts';
import { diskNodes, type VmDisk } from './vm-disks.ts';

/** 8 MiB of tables, of 64 GiB in clusters of 64 KiB, stay below a second. */
const TABLES_LIMIT_BYTES = 8 * MiB;
/** With --allow-stall: a disk of some TiB on slow storage. */
const SNAPSHOT_TIMEOUT_MS = 600_000;

type Request = {
  readonly domain: Domain;
  readonly name: string;
  readonly signal?: AbortSignal | undefined;
};

/** Whether a running machine may wait for more than a second while so much is read and written. */
export function wouldStall(tableBytes: number): boolean {
  return tableBytes > TABLES_LIMIT_BYTES;
}

/** @param instead why there is no other way */
export function longStall(domain: Domain, tableBytes: number, instead = ''): HoldfastError {
  const detail = `${domain.name} would wait for ${formatBytes(tableBytes)} of tables of its disks; more than ${formatBytes(TABLES_LIMIT_BYTES)} may take longer than a second${instead}`;
  return new HoldfastError('snapshot_would_stall', detail, {
    facts: { vm: domain.name, table_bytes: tableBytes, limit_bytes: TABLES_LIMIT_BYTES },
  });
}

/** By a QMP transaction: all disks or none. @throws see atQuietMoment; qemu_failed */
export async function takeInternalLive(request: Request & Quietness, disks: readonly VmDisk[]): Promise<Taken> {
  const { domain, name, agentTimeoutMs, signal } = request;
  const nodes = await diskNodes(domain, disks, signal);
  const actions = [...nodes.values()].map((device) => ({
    type: 'blockdev-snapshot-internal-sync',
    data: { device, name },
  }));
  const transaction = { command: 'transaction', args: { actions }, timeoutMs: SNAPSHOT_TIMEOUT_MS };
  return await atQuietMoment({
    ...request,
    take: async () => await domain.monitor({ ...transaction, signal }),
    takeFrozen: async () => await domain.monitorFrozen({ ...transaction, agentTimeoutMs }),
    undo: async () => {
      for (const device of nodes.values()) {
        await domain.monitor({ command: 'blockdev-snapshot-delete-internal-sync', args: { device, name } });
      }
    },
  });
}

/** @throws volume_busy, target_full, qemu_failed; no disk has it then */
export async function takeInternalOffline(request: Request, disks: readonly VmDisk[]): Promise<Taken> {
  const { domain, name, signal } = request;
  const unclean = await whyUnclean(domain, signal);
  try {
    for (const { path } of disks) await createImageSnapshot({ path, name, signal });
  } catch (error) {
    // No disk had this name before. Also after an abort, which may come when qemu-img is done but has not ended.
    for (const { path } of disks) {
      const { snapshots } = await readQcow2Tables({ path });
      if (snapshots.some((snapshot) => snapshot.name === name)) await deleteImageSnapshot({ path, name });
    }
    throw error;
  }
  return { consistency: unclean === null ? 'clean' : 'crash', reason: unclean, frozenMs: undefined };
}

/** What libvirt still knows of how the machine ended; after a restart of the host it knows nothing. */
async function whyUnclean(domain: Domain, signal: AbortSignal | undefined): Promise<string | null> {
  if (await domain.hasSavedMemory({ signal })) return 'the machine is suspended to disk';
  const { state, reason } = await domain.status({ signal });
  if (state !== 'crashed' && !['destroyed', 'crashed', 'failed'].includes(reason)) return null;
  return `the machine did not shut down by itself (${reason || state})`;
}

/** One disk after the other. @throws vm_busy, volume_busy, qemu_failed */
export async function deleteInternal(
  request: Request & {
    readonly running: boolean;
    readonly disks: readonly (VmDisk & { readonly image: string; readonly id: string })[];
  },
): Promise<void> {
  const { domain, name, running, disks, signal } = request;
  const nodes = running ? await diskNodes(domain, disks, signal) : new Map<string, string>();
  for (const { target, image, id } of disks) {
    const node = nodes.get(target);
    if (node === undefined) await deleteImageSnapshot({ path: image, name, signal });
    else {
      const args = { device: node, id, name };
      const command = 'blockdev-snapshot-delete-internal-sync';
      await unlessBusy(domain, () => domain.monitor({ command, args, timeoutMs: SNAPSHOT_TIMEOUT_MS, signal }));
    }
  }
}
