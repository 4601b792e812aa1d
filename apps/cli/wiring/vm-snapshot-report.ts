/** Snapshots of a machine as commands show them. */
import { formatBytes } from '@holdfast/base';
import type { VmSnapshot } from '@holdfast/hypervisor/snapshot';
import { layOutColumns } from '../terminal/columns.ts';
import { formatLocalTime, printable } from '../terminal/format.ts';

export function vmSnapshotFields(snapshot: VmSnapshot<object>): object {
  const { name, takenAtMs, disks, missing, consistency, reason } = snapshot;
  return {
    name,
    taken_at: new Date(takenAtMs).toISOString(),
    consistency: consistency ?? null,
    reason,
    disks: disks.map(({ target }) => target),
    missing_disks: missing,
  };
}

export function vmSnapshotLines(snapshots: readonly VmSnapshot[]): readonly string[] {
  return layOutColumns(
    [{ title: 'TAKEN' }, { title: 'DISKS' }, { title: 'KEEPS', align: 'right' }, { title: 'STATE' }, { title: 'NAME' }],
    snapshots.map((snapshot) => [
      formatLocalTime(new Date(snapshot.takenAtMs)),
      snapshot.disks.map(({ target }) => target).join(','),
      keptBytes(snapshot),
      snapshot.missing.length > 0 ? `misses ${snapshot.missing.join(',')}` : consistencyWord(snapshot),
      printable(snapshot.name),
    ]),
  );
}

/** For people. */
export function consistencyWord({ consistency }: VmSnapshot<object>): string {
  if (consistency === undefined) return 'unknown';
  return { clean: 'shut down', filesystem: 'frozen', crash: 'crash-consistent' }[consistency];
}

function keptBytes({ disks }: VmSnapshot): string {
  const kept = disks.map(({ snapshot: { usage } }) => (usage.kind === 'known' ? usage.divergedBytes : undefined));
  return kept.includes(undefined) ? 'unknown' : formatBytes(kept.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0));
}
