/**
 * Copies of points in another repository: other storage, other keys, other hash. Each is complete there by itself and
 * says where it came from; what the target has already is skipped, so a copy that was interrupted goes on when it is run
 * again.
 */
import { HoldfastError, hasCode } from '@holdfast/base';
import type { BackupProgress } from '../backup/backup.ts';
import { findPoint, listPoints, type RestorePoint } from '../manifest/points.ts';
import type { Repository } from '../repository/repository.ts';
import { openReaderSession, openSession } from '../session/session.ts';
import { type CopiedPoint, copyPoint, copyThatIsThere } from './copy-point.ts';
import { provenanceOf, TargetPoints } from './provenance.ts';

export type CopyOptions = {
  readonly source: Repository;
  readonly target: Repository;
  /** Ids or their beginnings, or `latest` of `resource`; absent: every point. */
  readonly points?: readonly string[] | undefined;
  /** Only points of this volume or instance. */
  readonly resource?: string | undefined;
  /** Called with all the points together. */
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** A point that could not be copied, and why; the others were. */
export type FailedCopy = { readonly pointId: string; readonly resource: string; readonly error: HoldfastError };

export type CopyPlan = {
  /** Oldest first. */
  readonly missing: readonly RestorePoint[];
  readonly there: readonly CopiedPoint[];
  /** Listed in the source, but not readable. */
  readonly failed: readonly FailedCopy[];
};

export type CopyReport = {
  /** Of all points asked for, in the order of time. */
  readonly copies: readonly CopiedPoint[];
  readonly failed: readonly FailedCopy[];
};

/** What `copyPoints` would do. Writes nothing but a reader's session. Same errors. */
export async function planCopy(options: CopyOptions): Promise<CopyPlan> {
  await using _reading = await openSession({ repository: options.source, role: 'reader', signal: options.signal });
  return await plan(options, await select(options), new Map());
}

/**
 * Copies the points that the target lacks, oldest first. A point that fails for a reason of its own is reported, and the
 * others are copied; a storage that fails ends it. What was copied stays.
 * @throws point_not_found, point_ambiguous, storage errors of both sides, the abort reason
 */
export async function copyPoints(options: CopyOptions): Promise<CopyReport> {
  const { source, target, onProgress, signal } = options;
  // Before anything is listed: what the source lists from here on stays until the end.
  await using _reading = await openSession({ repository: source, role: 'reader', signal });
  const selection = await select(options);
  const known = new Map<string, RestorePoint>();
  const { missing, there, failed } = await plan(options, selection, known);
  const copies = [...there];
  const failures = [...failed];
  const progress = new TotalProgress(missing, onProgress);
  for (const point of missing) {
    const { id, resource } = point.manifest;
    const siblings = selection.siblings.filter(({ manifest }) => manifest.resource === resource);
    try {
      await using _ofPoint = await openReaderSession({ repository: source, point, signal });
      const report = (step: BackupProgress) => progress.update(step);
      copies.push(await copyPoint({ source, target, point, siblings, known, onProgress: report, signal }));
    } catch (error) {
      signal?.throwIfAborted();
      if (!hasCode(error, ...ownReasons)) throw error;
      failures.push({ pointId: id, resource, error });
    }
    progress.next();
  }
  copies.sort((a, b) => a.from.manifest.created_at.localeCompare(b.from.manifest.created_at));
  return { copies, failed: failures };
}

/** @throws copy_incomplete when a point could not be copied */
export function assertAllCopied({ failed }: { readonly failed: readonly FailedCopy[] }): void {
  if (failed.length === 0) return;
  const [first] = failed;
  throw new HoldfastError('copy_incomplete', `${failed.length} points are not copied: ${first!.error.message}`, {
    cause: first!.error,
    facts: { points: failed.map(({ pointId }) => pointId) },
  });
}

/** Failures that say nothing about the next point. */
const ownReasons = [
  'point_not_found',
  'source_point_damaged',
  'resource_busy',
  'session_fenced',
  'pack_condemned',
] as const;

type Selection = {
  readonly wanted: readonly RestorePoint[];
  readonly failed: readonly FailedCopy[];
  /** All points of the resources concerned, oldest first. */
  readonly siblings: readonly RestorePoint[];
};

async function select(options: CopyOptions): Promise<Selection> {
  const { source: repository, points, resource, signal } = options;
  if (points === undefined) {
    const listing = await listPoints({ repository, resource, signal });
    if (resource !== undefined && listing.points.length + listing.damaged.length === 0) {
      throw new HoldfastError('point_not_found', `There is no restore point of ${resource}.`);
    }
    return { wanted: listing.points, failed: listing.damaged, siblings: listing.points };
  }
  const named = new Set<string>();
  const resources = new Set<string>();
  for (const point of points) {
    const { key, manifest } = await findPoint({ repository, resource, point, signal });
    named.add(key);
    resources.add(manifest.resource);
  }
  const siblings: RestorePoint[] = [];
  for (const one of resources) siblings.push(...(await listPoints({ repository, resource: one, signal })).points);
  return { wanted: inOrder(siblings.filter(({ key }) => named.has(key))), failed: [], siblings };
}

/** Sorts out what the target has. The points of the target that were read are added to `known`. */
async function plan(options: CopyOptions, selection: Selection, known: Map<string, RestorePoint>): Promise<CopyPlan> {
  const { source, target, signal } = options;
  const there: CopiedPoint[] = [];
  const missing: RestorePoint[] = [];
  const resources = new Set(selection.wanted.map(({ manifest }) => manifest.resource));
  const copies = new Map<string, TargetPoints>();
  for (const resource of resources) copies.set(resource, await TargetPoints.read({ target, resource, known, signal }));
  for (const point of selection.wanted) {
    const copy = copies.get(point.manifest.resource)!.find(provenanceOf(source, point));
    if (copy) there.push(copyThatIsThere(point, copy));
    else missing.push(point);
  }
  return { missing, there, failed: selection.failed };
}

function inOrder(points: readonly RestorePoint[]): RestorePoint[] {
  return points.toSorted((a, b) => a.manifest.created_at.localeCompare(b.manifest.created_at));
}

/** Adds up the progress of points that are copied one after the other. */
class TotalProgress {
  readonly #onProgress: CopyOptions['onProgress'];
  readonly #sizes: readonly number[];
  #at = 0;
  #done = { doneBytes: 0, readBytes: 0, putBytes: 0 };
  #last = { readBytes: 0, putBytes: 0 };

  constructor(points: readonly RestorePoint[], onProgress: CopyOptions['onProgress']) {
    this.#onProgress = onProgress;
    this.#sizes = points.map(({ manifest }) => manifest.disks.reduce((sum, disk) => sum + disk.size_bytes, 0));
  }

  update({ doneBytes, readBytes, putBytes }: Omit<BackupProgress, 'totalBytes'>): void {
    this.#last = { readBytes, putBytes };
    this.#onProgress?.({
      doneBytes: this.#done.doneBytes + doneBytes,
      totalBytes: this.#sizes.reduce((sum, size) => sum + size, 0),
      readBytes: this.#done.readBytes + readBytes,
      putBytes: this.#done.putBytes + putBytes,
    });
  }

  /** The point is settled, whatever became of it. */
  next(): void {
    this.#done = {
      doneBytes: this.#done.doneBytes + (this.#sizes[this.#at] ?? 0),
      readBytes: this.#done.readBytes + this.#last.readBytes,
      putBytes: this.#done.putBytes + this.#last.putBytes,
    };
    this.#at += 1;
    this.#last = { readBytes: 0, putBytes: 0 };
    this.update({ doneBytes: 0, readBytes: 0, putBytes: 0 });
  }
}
