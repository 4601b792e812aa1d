/** Snapshots of a volume as commands show them. */
import { formatBytes } from '@holdfast/base';
import type { Qcow2Snapshot, SnapshotUsage } from '@holdfast/hypervisor/snapshot';
import { layOutColumns } from '../terminal/columns.ts';
import { formatLocalTime, printable } from '../terminal/format.ts';

export function snapshotFields(snapshot: Qcow2Snapshot): object {
  const { id, name, takenAtMs, sizeBytes, vmStateBytes, vmClockMs, usage } = snapshot;
  return {
    id,
    name,
    taken_at: new Date(takenAtMs).toISOString(),
    size_bytes: sizeBytes,
    vm_state_bytes: vmStateBytes,
    vm_clock_ms: vmClockMs,
    ...usageFields(usage),
  };
}

export function usageFields(usage: SnapshotUsage): object {
  const isKnown = usage.kind === 'known';
  return {
    diverged_bytes: isKnown ? usage.divergedBytes : null,
    table_bytes: isKnown ? usage.tableBytes : null,
  };
}

export function snapshotLines(snapshots: readonly Qcow2Snapshot[]): readonly string[] {
  return layOutColumns(
    [
      { title: 'ID', align: 'right' },
      { title: 'TAKEN' },
      { title: 'SIZE', align: 'right' },
      { title: 'KEEPS', align: 'right' },
      { title: 'NAME' },
    ],
    snapshots.map(({ id, name, takenAtMs, sizeBytes, usage }) => [
      printable(id),
      formatLocalTime(new Date(takenAtMs)),
      formatBytes(sizeBytes),
      usage.kind === 'known' ? formatBytes(usage.divergedBytes) : 'unknown',
      printable(name),
    ]),
  );
}
