/**
 * Snapshots of a whole machine: one of the same name inside each of its images. Of a running one they are of one moment
 * (a QMP transaction: all or none); of one that is off no moment differs from another.
 */
import { formatBytes, HoldfastError, MiB } from '@holdfast/base';
import type { Domain } from '../libvirt/domain.ts';
import { thawUntilThawed } from '../libvirt/thaw.ts';
import { type Qcow2Snapshot, readQcow2Snapshots, readQcow2Tables } from '../qcow2/read-snapshots.ts';
import type { SnapshotRecord } from '../qcow2/snapshot-table.ts';
import { createImageSnapshot, deleteImageSnapshot } from '../qemu/snapshot-image.ts';
import type { SnapshotConsistency, SnapshotJournal, SnapshotNote } from './snapshot-journal.ts';
import { checkSnapshotName, findSnapshot, refuseTakenName } from './snapshot-name.ts';
import { diskNodes, type VmDisk, vmDisks } from './vm-disks.ts';

export type VmSnapshotDisk<Snapshot> = VmDisk & { readonly snapshot: Snapshot };

export type VmSnapshot<Snapshot = Qcow2Snapshot> = {
  readonly name: string;
  readonly takenAtMs: number;
  readonly disks: readonly VmSnapshotDisk<Snapshot>[];
  /** Disks of the machine that lack it: added later, or the making was killed. Empty for one that can be restored. */
  readonly missing: readonly string[];
  /** Undefined when nobody noted it. */
  readonly consistency: SnapshotConsistency | undefined;
  readonly reason: string | null;
};

type VmCall = {
  readonly domain: Domain;
  readonly journal: SnapshotJournal;
  readonly signal?: AbortSignal | undefined;
};

export type CreateVmSnapshot = VmCall & {
  readonly name: string;
  /** Whether the file systems of a running guest are frozen: else refused, if it can be, not at all. */
  readonly consistency: 'require' | 'prefer' | 'never';
  /** For the agent's answer to each of freeze and thaw. */
  readonly agentTimeoutMs: number;
  /** Although the machine would stand still for more than a second (docs/adr/0011-snapshot-stall.md). */
  readonly allowStall: boolean;
};

export type CreatedVmSnapshot = VmSnapshot<SnapshotRecord> & {
  /** How long the guest's file systems stood still; undefined when they were not frozen. */
  readonly frozenMs: number | undefined;
};

/**
 * QEMU reads and writes the L2 tables of every disk and their reference counts, and the guest waits: 8 MiB of tables, of
 * 64 GiB in clusters of 64 KiB, stay below a second (docs/adr/0011-snapshot-stall.md).
 */
const TABLES_LIMIT_BYTES = 8 * MiB;
const THAW_LIMIT_MS = 60_000;
/** With --allow-stall: a disk of some TiB on slow storage. */
const SNAPSHOT_TIMEOUT_MS = 600_000;

/**
 * After a failure no disk has the snapshot. A kill of us in the middle leaves, of a machine that is off, a snapshot that
 * misses disks, which `deleteVmSnapshot` removes; of a running one, all or none.
 * @throws snapshot_name_invalid, snapshot_exists, snapshot_would_stall, image_unsupported, image_damaged, volume_busy,
 *   vm_busy (a backup runs), guest_agent_missing, guest_agent_unresponsive, target_full, qemu_failed, libvirt errors
 */
export async function createVmSnapshot(request: CreateVmSnapshot): Promise<CreatedVmSnapshot> {
  const { domain, journal, allowStall, signal } = request;
  const name = checkSnapshotName(request.name);
  const { running, disks } = await vmDisks(domain, signal);
  const tables = await Promise.all(disks.map(async ({ path }) => await readQcow2Tables({ path })));
  for (const { snapshots } of tables) refuseTakenName(snapshots, name, domain.name);
  const tableBytes = tables.reduce((sum, { activeTableBytes }) => sum + activeTableBytes, 0);
  if (running && !allowStall) refuseLongStall(domain, tableBytes);
  const taken = running ? await takeLive(request, disks) : await takeOffline({ ...request, name }, disks);
  const made = await Promise.all(
    disks.map(async (disk) => {
      const { snapshots } = await readQcow2Tables({ path: disk.path });
      return { ...disk, snapshot: findSnapshot(snapshots, name, disk.path) };
    }),
  );
  const takenAtMs = timeOf(made);
  const { consistency, reason, frozenMs } = taken;
  await journal.write({ uuid: domain.uuid, name, takenAtMs }, { consistency, reason });
  return { name, takenAtMs, disks: made, missing: [], consistency, reason, frozenMs };
}

/** Oldest first. Also while the machine runs. @throws image_unsupported, image_damaged, libvirt errors */
export async function listVmSnapshots({ domain, journal, signal }: VmCall): Promise<readonly VmSnapshot[]> {
  const { disks } = await vmDisks(domain, signal);
  const byName = new Map<string, VmSnapshotDisk<Qcow2Snapshot>[]>();
  for (const disk of disks) {
    for (const snapshot of (await readQcow2Snapshots({ path: disk.path, signal })).snapshots) {
      byName.set(snapshot.name, [...(byName.get(snapshot.name) ?? []), { ...disk, snapshot }]);
    }
  }
  const snapshots = await Promise.all(
    [...byName].map(async ([name, found]) => {
      const takenAtMs = timeOf(found);
      const note = await journal.read({ uuid: domain.uuid, name, takenAtMs });
      const missing = disks
        .map(({ target }) => target)
        .filter((target) => !found.some((disk) => disk.target === target));
      return { name, takenAtMs, disks: found, missing, consistency: note?.consistency, reason: note?.reason ?? null };
    }),
  );
  return snapshots.toSorted((one, other) => one.takenAtMs - other.takenAtMs);
}

/**
 * From every disk that has it. A call that was cut off, or failed with one disk, can be made again.
 * @throws snapshot_not_found when no disk has it, snapshot_ambiguous, snapshot_would_stall, vm_busy (a backup runs),
 *   volume_busy, qemu_failed, libvirt errors
 */
export async function deleteVmSnapshot(
  request: VmCall & Pick<CreateVmSnapshot, 'name' | 'allowStall'>,
): Promise<VmSnapshot> {
  const { domain, journal, name, allowStall, signal } = request;
  const snapshot = findVmSnapshot(await listVmSnapshots({ domain, journal, signal }), name, domain);
  const { running } = await vmDisks(domain, signal);
  if (running && !allowStall) {
    // One disk after the other: the machine goes on between them.
    for (const { path, snapshot: own } of snapshot.disks) {
      const { activeTableBytes } = await readQcow2Tables({ path });
      refuseLongStall(domain, activeTableBytes + (own.usage.kind === 'known' ? own.usage.tableBytes : 0));
    }
  }
  const nodes = running ? await diskNodes(domain, snapshot.disks, signal) : new Map<string, string>();
  for (const { target, path, snapshot: own } of snapshot.disks) {
    const node = nodes.get(target);
    if (node === undefined) await deleteImageSnapshot({ path, name, signal });
    else {
      const args = { device: node, id: own.id, name };
      const command = 'blockdev-snapshot-delete-internal-sync';
      await unlessBusy(domain, () => domain.monitor({ command, args, timeoutMs: SNAPSHOT_TIMEOUT_MS, signal }));
    }
  }
  await journal.remove({ uuid: domain.uuid, name });
  return snapshot;
}

/** @throws snapshot_not_found, snapshot_ambiguous */
export function findVmSnapshot(snapshots: readonly VmSnapshot[], name: string, domain: Domain): VmSnapshot {
  const found = snapshots.find((one) => one.name === name);
  if (!found) throw new HoldfastError('snapshot_not_found', `${domain.name} has no snapshot ${JSON.stringify(name)}`);
  const targets = found.disks.map(({ target }) => target);
  if (new Set(targets).size === targets.length) return found;
  throw new HoldfastError('snapshot_ambiguous', `A disk of ${domain.name} has several snapshots with the name ${name}`);
}

function timeOf(disks: readonly VmSnapshotDisk<SnapshotRecord>[]): number {
  return Math.min(...disks.map(({ snapshot }) => snapshot.takenAtMs));
}

/** What is read and written for a snapshot is read and written for its end, too. */
function refuseLongStall(domain: Domain, tableBytes: number): void {
  if (tableBytes <= TABLES_LIMIT_BYTES) return;
  const detail = `${domain.name} would wait for ${formatBytes(tableBytes)} of tables of its disks; more than ${formatBytes(TABLES_LIMIT_BYTES)} may take longer than a second`;
  throw new HoldfastError('snapshot_would_stall', detail, {
    facts: { vm: domain.name, table_bytes: tableBytes, limit_bytes: TABLES_LIMIT_BYTES },
  });
}

type Taken = SnapshotNote & { readonly frozenMs: number | undefined };

async function takeLive(request: CreateVmSnapshot, disks: readonly VmDisk[]): Promise<Taken> {
  const { domain, name, consistency, agentTimeoutMs, signal } = request;
  const nodes = await diskNodes(domain, disks, signal);
  const actions = [...nodes.values()].map((device) => ({
    type: 'blockdev-snapshot-internal-sync',
    data: { device, name },
  }));
  const transaction = { command: 'transaction', args: { actions }, timeoutMs: SNAPSHOT_TIMEOUT_MS };
  if (consistency === 'never') {
    await unlessBusy(domain, () => domain.monitor({ ...transaction, signal }));
    return { consistency: 'crash', reason: 'not asked for more', frozenMs: undefined };
  }
  // An agent that is not there is known without freezing anything, and a snapshot that would be refused is not taken.
  const absent = await agentProblem(request);
  if (absent && consistency === 'require') throw absent;
  if (absent) {
    await unlessBusy(domain, () => domain.monitor({ ...transaction, signal }));
    return { consistency: 'crash', reason: absent.message, frozenMs: undefined };
  }
  const { frozen, thawed, frozenMs, answered } = await domain.monitorFrozen({ ...transaction, agentTimeoutMs });
  if (frozen instanceof HoldfastError || thawed instanceof HoldfastError) await thawSurely(domain);
  if (answered !== true) throw busyError(domain, answered);
  if (!(frozen instanceof HoldfastError)) return { consistency: 'filesystem', reason: null, frozenMs };
  if (consistency === 'prefer') return { consistency: 'crash', reason: frozen.message, frozenMs: undefined };
  for (const device of nodes.values()) {
    await domain.monitor({ command: 'blockdev-snapshot-delete-internal-sync', args: { device, name } });
  }
  throw frozen;
}

async function agentProblem(request: CreateVmSnapshot): Promise<HoldfastError | undefined> {
  const { domain, agentTimeoutMs, signal } = request;
  try {
    await domain.agent.ping({ timeoutMs: agentTimeoutMs, signal });
    return undefined;
  } catch (error) {
    if (error instanceof HoldfastError && signal?.aborted !== true) return error;
    throw error;
  }
}

/** @throws guest_agent_unresponsive */
async function thawSurely(domain: Domain): Promise<void> {
  if (await thawUntilThawed({ domain, timeoutMs: THAW_LIMIT_MS })) return;
  throw new HoldfastError('guest_agent_unresponsive', `${domain.name} may be frozen: its agent does not say`, {
    remedy: `Look at the guest; thaw it with virsh domfsthaw ${domain.name}.`,
  });
}

async function takeOffline({ domain, name, signal }: CreateVmSnapshot, disks: readonly VmDisk[]): Promise<Taken> {
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

async function unlessBusy<Result>(domain: Domain, call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    throw error instanceof HoldfastError ? busyError(domain, error) : error;
  }
}

/** A backup puts a filter on top of each node, so that it is no root any more; other jobs block it. */
function busyError(domain: Domain, error: HoldfastError): HoldfastError {
  if (error.code !== 'qemu_failed' || !/Need a root block node|in use by block job|is busy/i.test(error.message)) {
    return error;
  }
  return new HoldfastError('vm_busy', `A backup or another job works with the disks of ${domain.name}`, {
    cause: error,
    remedy: 'Wait for it to end (virsh domjobinfo), and try again.',
    facts: { vm: domain.name },
  });
}
