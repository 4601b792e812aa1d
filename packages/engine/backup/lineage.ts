/** Which series a new point joins, and which earlier point it is compared with. */
import { type Clock, HoldfastError, newId } from '@holdfast/base';
import type { Manifest } from '../manifest/manifest.ts';
import { listPoints, type RestorePoint } from '../manifest/points.ts';
import type { BackupOptions } from './backup.ts';

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
    const numbers = points
      .filter(({ manifest }) => manifest.series === series)
      .map(({ manifest }) => manifest.increment_id ?? 0);
    return { parent, base: parent, series, incrementId: Math.max(0, ...numbers) + 1, warnings: [] };
  }
  const warnings = closed === undefined ? [] : [`A new series begins: ${closed}.`];
  const base = parent ?? points.at(-1);
  return { parent: undefined, base, series: newId('ser', repository.clock), incrementId: 1, warnings };
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
  const names = manifest.disks.map((disk) => disk.name).sort();
  const wanted = options.disks.map((disk) => disk.name).sort();
  if (names.join() !== wanted.join()) return `the disks were ${names.join(', ')} and are ${wanted.join(', ')}`;
  const chunkBytes = options.chunkBytes ?? manifest.disks[0]?.chunk_bytes;
  if (manifest.disks.some((disk) => disk.chunk_bytes !== chunkBytes)) return 'the chunk size changed';
  return undefined;
}

/** Whether maps and pack table of the earlier point can be carried on: same disks, same grid. */
export function canCarryOn(manifest: Manifest, options: BackupOptions): boolean {
  const names = manifest.disks.map((disk) => disk.name).sort();
  const sameNames =
    names.join() ===
    options.disks
      .map((disk) => disk.name)
      .sort()
      .join();
  return sameNames && manifest.disks.every((disk) => disk.chunk_bytes === (options.chunkBytes ?? disk.chunk_bytes));
}
