/** Snapshots of a machine as commands show them. */
import { formatBytes } from '@holdfast/base';
import type { VmSnapshot, VmSnapshotDisk, VmSnapshotSummary } from '@holdfast/hypervisor/snapshot';
import { layOutColumns } from '../terminal/columns.ts';
import { formatLocalTime, printable } from '../terminal/format.ts';
import { snapshotFields, usageFields } from './snapshot-report.ts';

export function vmSnapshotFields(snapshot: VmSnapshotSummary): object {
  const { name, kind, takenAtMs, disks, missing, isDeleting, consistency, reason } = snapshot;
  return {
    name,
    kind,
    taken_at: new Date(takenAtMs).toISOString(),
    consistency: consistency ?? null,
    reason,
    disks: disks.map(({ target }) => target),
    missing_disks: missing,
    deleting: isDeleting,
  };
}

export function vmSnapshotDiskFields(disk: VmSnapshotDisk): object {
  const { target, path, image } = disk;
  if (disk.kind === 'internal') return { target, path, image, ...snapshotFields(disk.snapshot) };
  const { overlay, sizeBytes, usage } = disk;
  return { target, path, image, overlay, size_bytes: sizeBytes, ...usageFields(usage) };
}

export function vmSnapshotLines(snapshots: readonly VmSnapshot[]): readonly string[] {
  return layOutColumns(
    [{ title: 'TAKEN' }, { title: 'DISKS' }, { title: 'KEEPS', align: 'right' }, { title: 'STATE' }, { title: 'NAME' }],
    snapshots.map((snapshot) => [
      formatLocalTime(new Date(snapshot.takenAtMs)),
      snapshot.disks.map(({ target }) => target).join(','),
      keptBytes(snapshot),
      stateWord(snapshot),
      printable(snapshot.name),
    ]),
  );
}

function stateWord(snapshot: VmSnapshot): string {
  const { missing, isDeleting, kind } = snapshot;
  if (isDeleting) return 'half deleted';
  if (missing.length > 0) return `misses ${missing.join(',')}`;
  return `${consistencyWord(snapshot)}${kind === 'layer' ? ', overlays' : ''}`;
}

/** For people. */
export function consistencyWord({ consistency }: VmSnapshotSummary): string {
  if (consistency === undefined) return 'unknown';
  return { clean: 'shut down', filesystem: 'frozen', crash: 'crash-consistent' }[consistency];
}

function keptBytes({ disks }: VmSnapshot): string {
  const usages = disks.map((disk) => (disk.kind === 'internal' ? disk.snapshot.usage : disk.usage));
  const kept = usages.map((usage) => (usage.kind === 'known' ? usage.divergedBytes : undefined));
  return kept.includes(undefined) ? 'unknown' : formatBytes(kept.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0));
}
