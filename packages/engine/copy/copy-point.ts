/** One point into another repository: a backup whose source is the point, and whose manifest says what the point's says. */
import { newId, hasCode } from '@holdfast/base';
import { type BackupDisk, type BackupOutcome, type BackupProgress, makePoint } from '../backup/backup.ts';
import type { Manifest } from '../manifest/manifest.ts';
import type { ListedPoint, RestorePoint } from '../manifest/points.ts';
import type { Repository } from '../repository/repository.ts';
import { readGuestConfiguration } from '../restore/guest-configuration.ts';
import { type CollectionState, readCollectionState } from '../session/collection-state.ts';
import { openSession, type Session } from '../session/session.ts';
import { provenanceOf, TargetPoints } from './provenance.ts';
import { namingThePoint, openSourceDisk } from './source-disk.ts';

export type CopyPointRequest = {
  readonly source: Repository;
  readonly target: Repository;
  readonly point: RestorePoint;
  /** Points of the same resource in the source, oldest first. */
  readonly siblings: readonly RestorePoint[];
  /** Points of the target that were read before, by key; those found are added. */
  readonly known: Map<string, RestorePoint>;
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type CopiedPoint = {
  readonly from: RestorePoint;
  readonly to: RestorePoint;
  /** False: it was there. */
  readonly isNew: boolean;
  readonly warnings: readonly string[];
};

/** A point of the source, and the same one in the target. */
type Base = { readonly original: RestorePoint; readonly copy: RestorePoint };

/**
 * The caller holds a reader's session of the source.
 * @throws source_point_damaged, resource_busy, session_fenced, pack_condemned, storage errors; then the target has no such
 * point
 */
export async function copyPoint(request: CopyPointRequest): Promise<CopiedPoint> {
  const { source, target, point, known, signal } = request;
  const { resource } = point.manifest;
  const startedMs = target.clock.monotonicMs();
  await using session = await openSession({ repository: target, role: 'writer', resource, signal });
  // Rule *begin*: before the target's points are looked at.
  const { condemnedPacks } = await readCollectionState(target, signal);
  // Only now: a copy that ran at the same time has ended, and whatever is listed stays while the session lasts.
  const copies = await TargetPoints.read({ target, resource, known, signal });
  const there = copies.find(provenanceOf(source, point));
  if (there) return copyThatIsThere(point, there);
  const attempt = { ...request, session, copies, startedMs };
  const base = chooseBase(attempt);
  const inFull = async () => await makeCopy({ ...attempt, base: undefined });
  const { point: to, warnings } = await makeCopy({ ...attempt, base, condemnedPacks }).catch(async (error: unknown) => {
    // Rule *commit*: a collection took what the earlier point or the index gave. A second hit is for the caller.
    if (hasCode(error, 'pack_condemned')) return await inFull();
    if (!base || !hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
    // The target's own point is damaged; the source has everything.
    const outcome = await inFull();
    const warning = `Point ${base.copy.manifest.id} of the target is damaged, so everything was read: ${error.message}`;
    return { ...outcome, warnings: [warning, ...outcome.warnings] };
  });
  known.set(to.key, to);
  return { from: point, to, isNew: true, warnings };
}

/** What a copy is when nothing had to be done. */
export function copyThatIsThere(from: RestorePoint, to: ListedPoint): CopiedPoint {
  const warning = `The copy of ${from.manifest.id} is in the trash of the target as ${to.manifest.id}; undelete brings it back.`;
  return { from, to, isNew: false, warnings: to.state === 'trashed' ? [warning] : [] };
}

type Attempt = CopyPointRequest & {
  readonly session: Session;
  readonly copies: TargetPoints;
  readonly startedMs: number;
};

/** The point that is most like this one: its parent, else the nearest before, else the nearest after. */
function chooseBase({ source, point, siblings, copies }: Attempt): Base | undefined {
  const { manifest } = point;
  const bases = siblings.flatMap((original): Base[] => {
    const copy = copies.find(provenanceOf(source, original));
    return copy && sameGrid(original.manifest, manifest) ? [{ original, copy }] : [];
  });
  const parent = bases.find(({ original }) => original.manifest.id === manifest.parent);
  const isBefore = ({ original }: Base) => original.manifest.created_at <= manifest.created_at;
  return parent ?? bases.findLast(isBefore) ?? bases[0];
}

/** One disk in common is enough: disks come and go in a series. */
function sameGrid(left: Manifest, right: Manifest): boolean {
  const names = new Set(left.disks.map(({ name }) => name));
  const grids = new Set([...left.disks, ...right.disks].map((disk) => disk.chunk_bytes));
  return grids.size === 1 && right.disks.some(({ name }) => names.has(name));
}

async function makeCopy(
  attempt: Attempt & {
    readonly base: Base | undefined;
    readonly condemnedPacks?: CollectionState['condemnedPacks'];
  },
): Promise<BackupOutcome> {
  const { source, target, point, session, startedMs, base, onProgress, signal } = attempt;
  const { manifest } = point;
  const { series, increment_id: incrementId } = manifest;
  const guestConfiguration = await namingThePoint(point, () =>
    readGuestConfiguration({ repository: source, point, signal }),
  );
  await using stack = new AsyncDisposableStack();
  const disks: BackupDisk[] = [];
  for (const index of manifest.disks.keys()) {
    const sharesIds = haveSameIds(source, target);
    const disk = await openSourceDisk({ source, point, index, base: base?.original, sharesIds, signal });
    stack.use(disk.source);
    disks.push(disk);
  }
  return await makePoint({
    condemnedPacks: attempt.condemnedPacks,
    options: {
      repository: target,
      resource: manifest.resource,
      disks,
      guestConfiguration,
      chunkBytes: manifest.disks[0]?.chunk_bytes,
      onProgress,
      signal,
    },
    resource: manifest.resource,
    session,
    startedMs,
    lineage: { parent: base?.copy, base: base?.copy, series, incrementId, warnings: [] },
    describe: (draft) => describeCopy(attempt, draft),
  });
}

/** Ids are by the same hash with the same keys: a chunk has one id in both. */
function haveSameIds(source: Repository, target: Repository): boolean {
  return (
    source.configuration.hash === target.configuration.hash &&
    source.keys.dataIdKey.equals(target.keys.dataIdKey) &&
    source.keys.subChunkKey.equals(target.keys.subChunkKey)
  );
}

/** What the point is comes from the original; what it took to store it here, from the draft. */
function describeCopy({ source, point, siblings, copies }: Attempt, draft: Manifest): Manifest {
  const { manifest } = point;
  const parent = siblings.find(({ manifest: { id } }) => id === manifest.parent);
  return {
    ...draft,
    id: idOfTheSameMoment(manifest.id),
    created_at: manifest.created_at,
    parent: (parent && copies.find(provenanceOf(source, parent))?.manifest.id) ?? null,
    origin: manifest.origin,
    requested: manifest.requested,
    actual: manifest.actual,
    consistency: manifest.consistency,
    zone: manifest.zone,
    host: manifest.host,
    label: manifest.label,
    disks: draft.disks.map((disk, index) => {
      const { actual, fallback_reason, bitmap } = manifest.disks[index]!;
      return { ...disk, actual, fallback_reason, bitmap };
    }),
    copied_from: provenanceOf(source, point),
  };
}

/** Ids order points of one second, so a copy's begins with the time of the original's. */
function idOfTheSameMoment(id: string): string {
  const timeMs = Number.parseInt(id.slice('bkp_'.length, 'bkp_'.length + 12), 16);
  return newId('bkp', { nowMs: () => timeMs, monotonicMs: () => timeMs });
}
