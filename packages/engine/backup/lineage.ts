/** Which series a new point joins, and which earlier point it is compared with. */
import { type Clock, HoldfastError, newId, timeOfId } from '@holdfast/base';
import type { Manifest } from '../manifest/manifest.ts';
import { listPoints, type RestorePoint } from '../manifest/points.ts';
import { listTombs, readTomb } from '../manifest/tombs.ts';
import type { Repository } from '../repository/repository.ts';
import type { BackupOptions } from './backup.ts';

/** How far the clocks of two writers of one resource may be apart without a number coming twice. */
const clockSlackMs = 24 * 3600 * 1000;

export type Lineage = {
  /** The parent, when the new point goes on with its series. */
  readonly parent: RestorePoint | undefined;
  /** The point whose maps are compared with, parent or not. */
  readonly base: RestorePoint | undefined;
  readonly series: string | null;
  readonly incrementId: number | null;
  readonly warnings: readonly string[];
};

/** @throws usage, storage errors */
export async function chooseLineage(options: BackupOptions, resource: string): Promise<Lineage> {
  const { repository, parent, signal } = options;
  const { points } = await listPoints({ repository, resource, signal });
  if (options.origin === 'import') {
    return { parent: undefined, base: points.at(-1), series: null, incrementId: null, warnings: [] };
  }
  if (parent && parent.manifest.resource !== resource) {
    throw new HoldfastError(
      'usage',
      `Point ${parent.manifest.id} is of ${parent.manifest.resource}, not of ${resource}.`,
    );
  }
  // The caller found it before the session began; only what is listed now is safe from collection.
  if (parent && !points.some(({ key }) => key === parent.key)) {
    throw new HoldfastError('point_not_found', `The parent ${parent.manifest.id} does not exist any more.`);
  }
  const closed = parent && reasonToClose(parent, options);
  if (parent && closed === undefined) {
    const { series } = parent.manifest;
    const inSeries = points.filter(({ manifest }) => manifest.series === series);
    const numbers = inSeries.map(({ manifest }) => manifest.increment_id ?? 0);
    const deleted = await highestDeletedIncrement({ repository, series, listed: inSeries, signal });
    return { parent, base: parent, series, incrementId: Math.max(deleted, ...numbers) + 1, warnings: [] };
  }
  const warnings = closed === undefined ? [] : [`A new series begins: ${closed}.`];
  const base = parent ?? points.at(-1);
  return { parent: undefined, base, series: newId('ser', repository.clock), incrementId: 1, warnings };
}

/**
 * The highest number that a deleted point of the series had, in trash or purged: a number does not come again. Records
 * are read of points that may be newer than the newest listed one; older ones have lower numbers.
 */
async function highestDeletedIncrement(request: {
  readonly repository: Repository;
  readonly series: string | null;
  readonly listed: readonly RestorePoint[];
  readonly signal: AbortSignal | undefined;
}): Promise<number> {
  const { repository, series, listed, signal } = request;
  const ids = new Set(listed.map(({ manifest }) => manifest.id));
  const sinceMs = Math.max(...[...ids].map(timeOfId)) - clockSlackMs;
  let highest = 0;
  for (const [pointId, number] of await listTombs({ repository, signal })) {
    if (ids.has(pointId) || timeOfId(pointId) < sinceMs) continue;
    const tomb = await readTomb(repository, { pointId, number, signal });
    if (tomb?.series === series) highest = Math.max(highest, tomb?.increment_id ?? 0);
  }
  return highest;
}

/** A lineage that owes nothing to the earlier point, because that one is damaged. */
export function withoutBase(lineage: Lineage, clock: Clock, damage: HoldfastError): Lineage {
  const { base, series } = lineage;
  const warning = `Point ${base?.manifest.id} is damaged, so everything was read: ${damage.message}`;
  return {
    parent: undefined,
    base: undefined,
    series: series === null ? null : newId('ser', clock),
    incrementId: series === null ? null : 1,
    warnings: [...lineage.warnings, warning],
  };
}

/** Semantics 5: what makes a series end by itself. */
function reasonToClose(parent: RestorePoint, options: BackupOptions): string | undefined {
  const { manifest } = parent;
  if (manifest.series === null) return 'the parent belongs to none (legacy point)';
  // The series itself may go on where the point was copied from, with the same numbers.
  if (manifest.copied_from) return 'the parent is a copy';
  const names = manifest.disks.map((disk) => disk.name).sort();
  const wanted = options.disks.map((disk) => disk.name).sort();
  if (!options.mayDisksDiffer && names.join() !== wanted.join()) {
    return `the disks were ${names.join(', ')} and are ${wanted.join(', ')}`;
  }
  if (!canCarryOn(manifest, options)) return 'the chunk size changed';
  return undefined;
}

/** Whether maps and pack table of the earlier point can be carried on: the grid is the same. Disks may come and go. */
export function canCarryOn({ disks }: Manifest, { chunkBytes = disks[0]?.chunk_bytes }: BackupOptions): boolean {
  return disks.every((disk) => disk.chunk_bytes === chunkBytes);
}
