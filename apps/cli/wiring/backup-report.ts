/** What a finished backup tells: the same for `backup` and `import`. */
import { formatBytes } from '@holdfast/base';
import type { BackupOutcome, ManifestDisk } from '@holdfast/engine';
import type { StorageUsage } from '@holdfast/storage';
import { formatDuration, formatRate } from '../terminal/format.ts';

export type BackupFigures = {
  readonly outcome: BackupOutcome;
  /** What the storage was asked to do for it, beginning and end. */
  readonly before: StorageUsage;
  readonly after: StorageUsage;
  readonly durationMs: number;
};

/** Stable: scripts depend on it. */
export function backupFields({ outcome, before, after, durationMs }: BackupFigures): object {
  const { manifest } = outcome.point;
  return {
    point: manifest.id,
    resource: manifest.resource,
    series: manifest.series,
    increment_id: manifest.increment_id,
    kind: manifest.actual,
    requested: manifest.requested,
    warnings: outcome.warnings,
    disks: manifest.disks.map(({ counters, ...disk }) => ({ ...disk, ...counters })),
    read_bytes: sumRead(manifest.disks),
    put_bytes: after.bytesPut - before.bytesPut,
    put_objects: putsOf(after) - putsOf(before),
    duration_ms: Math.round(durationMs),
  };
}

/** The last line names the restore point. */
export function backupText({ outcome, before, after, durationMs }: BackupFigures): string {
  const { manifest } = outcome.point;
  const disks = manifest.disks.map(
    ({ name, size_bytes, counters }) =>
      `${name}: ${formatBytes(size_bytes)}, ${formatBytes(counters.read_bytes)} read, ${formatBytes(counters.new_bytes)} new`,
  );
  const read = sumRead(manifest.disks);
  const put = after.bytesPut - before.bytesPut;
  const number =
    manifest.increment_id === null
      ? 'legacy point'
      : `${manifest.actual}, number ${manifest.increment_id} of its series`;
  return [
    ...disks,
    `${formatBytes(put)} stored in ${formatDuration(durationMs)} (${formatRate(read, durationMs)} read)`,
    `Restore point ${manifest.id} of ${manifest.resource} (${number})`,
  ].join('\n');
}

function sumRead(disks: readonly ManifestDisk[]): number {
  return disks.reduce((sum, { counters }) => sum + counters.read_bytes, 0);
}

function putsOf({ byVerb }: StorageUsage): number {
  return byVerb.put.calls - byVerb.put.errors;
}
