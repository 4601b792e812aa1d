/**
 * A backup: session, disks, packs, manifest - steps 1 to 4 of the safety argument. Until the manifest is put nothing is
 * listed; whatever goes wrong before leaves only packs that nobody refers to.
 */
import { hostname } from 'node:os';
import { type BlockSource, type Extent, HoldfastError, hasCode, newId } from '@holdfast/base';
import type { CompressionLevel } from '../codec/compression.ts';
import type { consistencies, Manifest } from '../manifest/manifest.ts';
import type { RestorePoint } from '../manifest/points.ts';
import { checkResource } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { type CollectionState, readCollectionState } from '../session/collection-state.ts';
import { openSession, type Session } from '../session/session.ts';
import { commit } from './commit.ts';
import { chooseLineage, type Lineage, withoutBase } from './lineage.ts';
import { noChangedExtents, transfer } from './transfer.ts';
import { UploadSession } from './upload-session.ts';

export type BackupDisk = {
  /** Device name in the guest, unique in the point. */
  readonly name: string;
  readonly source: BlockSource;
  /** Extents changed since the parent point. Absent: everything is read, only new content is stored. */
  readonly changed?: AsyncIterable<Extent> | Iterable<Extent> | undefined;
  readonly bitmap?: string | undefined;
  /** Why there are no `changed` extents although the caller wanted an increment. */
  readonly fallbackReason?: string | undefined;
  /** `changed` follows from chunk ids, so that no sample has to speak for it. */
  readonly changesProved?: boolean | undefined;
  /** Id of a chunk by this repository's keys, where it is known without reading; `chunkBytes` must be the point's. */
  readonly knownId?: ((chunk: number) => Promise<Buffer | undefined>) | undefined;
  /** Called when all of the disk was read: throws when what was read cannot be trusted. */
  readonly confirm?: (() => Promise<void>) | undefined;
};

export type BackupProgress = {
  /** Of all disks: dealt with, whether read, known zero or known unchanged. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly readBytes: number;
  readonly putBytes: number;
};

export type BackupOptions = {
  readonly repository: Repository;
  /** `volumes/NAME` or `instances/NAME`. */
  readonly resource: string;
  readonly disks: readonly BackupDisk[];
  /** The point that `changed` counts from; the new point joins its series. */
  readonly parent?: RestorePoint | undefined;
  /** Disks came or went, while what is wanted is the same: the series goes on (semantics 41). Absent: it ends (semantics 5). */
  readonly mayDisksDiffer?: boolean | undefined;
  readonly origin?: Manifest['origin'];
  /** When the state of the disks was, for an image that is older than its import; now when absent. */
  readonly takenAtMs?: number | undefined;
  readonly consistency?: (typeof consistencies)[number];
  readonly label?: string | undefined;
  /** Domain XML, nvram and the like; kept encrypted where the repository is. */
  readonly guestConfiguration?: Buffer | undefined;
  readonly chunkBytes?: number | undefined;
  readonly level?: CompressionLevel | undefined;
  readonly indexMemoryBytes?: number | undefined;
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type BackupOutcome = {
  readonly point: RestorePoint;
  /** Sentences for the user: fallbacks, a series that was closed. */
  readonly warnings: readonly string[];
};

/**
 * @throws resource_invalid, resource_busy, source errors, storage errors, session_fenced, pack_condemned; then no point
 * exists (commit.ts says what a storage may do that fails for good right then). Abort: the same, and what is in flight
 * is awaited.
 */
export async function backup(options: BackupOptions): Promise<BackupOutcome> {
  const { repository, signal } = options;
  const resource = checkResource(options.resource);
  checkDisks(options.disks);
  const startedMs = repository.clock.monotonicMs();
  await using session = await openSession({ repository, role: 'writer', resource, signal });
  // Rule *begin*: before the parent is looked for, which a collection may be about to take.
  const { condemnedPacks } = await readCollectionState(repository, signal);
  const lineage = await chooseLineage(options, resource);
  const attempt = { options, resource, session, startedMs };
  try {
    return await makePoint({ ...attempt, condemnedPacks, lineage });
  } catch (error) {
    // Rule *commit*: a collection took what the earlier point or the index gave. A second hit is for the caller.
    if (hasCode(error, 'pack_condemned')) return await makePoint({ ...attempt, ...inFull(options, lineage) });
    if (!lineage.base || !hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
    // Semantics 5: a corrupt parent closes its series. It must not keep the resource from being protected.
    return await makePoint({ ...attempt, lineage: withoutBase(lineage, repository.clock, error) });
  }
}

/** Reads everything and compares with no earlier point; the point still goes on with its series. */
function inFull(options: BackupOptions, lineage: Lineage): { options: BackupOptions; lineage: Lineage } {
  const disks = options.disks.map((disk) => ({ ...disk, changed: undefined, fallbackReason: 'pack_condemned' }));
  return { options: { ...options, disks }, lineage: { ...lineage, base: undefined } };
}

/**
 * One try, for `backup` and for copies: everything is uploaded and committed, or nothing of it is in flight any more.
 * @param attempt.describe has the last word on what the manifest says of the point; not on where its content lies
 */
export async function makePoint(attempt: {
  readonly options: BackupOptions;
  readonly resource: string;
  readonly session: Session;
  readonly startedMs: number;
  readonly lineage: Lineage;
  readonly describe?: (manifest: Manifest) => Manifest;
  /** What `gc/` said before the earlier point was chosen; absent without an earlier point: it is read here. */
  readonly condemnedPacks?: CollectionState['condemnedPacks'] | undefined;
}): Promise<BackupOutcome> {
  const { options, resource, session, startedMs, lineage, condemnedPacks, describe = (manifest) => manifest } = attempt;
  const { repository, signal } = options;
  const ownChunkBytes = options.chunkBytes ?? repository.configuration.defaults.chunk_bytes;
  const chunkSizes = lineage.base?.manifest.disks.map((disk) => disk.chunk_bytes) ?? [];
  const largestChunkBytes = Math.max(ownChunkBytes, ...chunkSizes);
  const upload = await UploadSession.open({ ...options, session, largestChunkBytes, condemnedPacks });
  try {
    const { disks, roots, guest, table } = await transfer({ options, upload, lineage });
    const manifest = describe({
      id: newId('bkp', repository.clock),
      session: session.id,
      domain: repository.domain,
      resource,
      created_at: new Date(options.takenAtMs ?? repository.clock.nowMs()).toISOString(),
      key_epoch: repository.keys.epoch,
      lock_until: null,
      roots,
      guest_configuration: guest,
      series: lineage.series,
      increment_id: lineage.incrementId,
      parent: lineage.parent?.manifest.id ?? null,
      origin: options.origin ?? 'manual',
      requested: lineage.parent ? 'incremental' : 'full',
      actual: disks.every((disk) => disk.actual === 'incremental') ? 'incremental' : 'full',
      consistency: options.consistency ?? 'crash',
      zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      host: hostname(),
      label: options.label ?? null,
      keep_reasons: [],
      put_bytes: upload.putBytes,
      duration_ms: Math.round(repository.clock.monotonicMs() - startedMs),
      disks,
      table,
    });
    const key = await commit({ repository, session, manifest, condemnedAtBegin: upload.known.condemnedPacks, signal });
    const published = await publish(upload);
    // Without changed extents nobody expected less than reading everything.
    const fallbacks = disks.filter(
      (disk) => disk.fallback_reason !== null && disk.fallback_reason !== noChangedExtents,
    );
    return {
      point: { key, manifest },
      warnings: [
        ...lineage.warnings,
        ...fallbacks.map((disk) => `Disk ${disk.name} was read in full: ${disk.fallback_reason}.`),
        ...published,
      ],
    };
  } catch (error) {
    await upload.abandon();
    throw error;
  }
}

/** The point exists by now. The index is advisory: its failure costs a later upload and nothing else. */
async function publish(upload: UploadSession): Promise<string[]> {
  try {
    await upload.publishIndex();
    return [];
  } catch (error) {
    return [`The index could not be updated (${error instanceof Error ? error.message : String(error)}).`];
  }
}

function checkDisks(disks: readonly BackupDisk[]): void {
  if (disks.length === 0) throw new HoldfastError('usage', 'A point needs at least one disk.');
  for (const { name } of disks) {
    if (!/^[a-z][a-z0-9]{0,31}$/.test(name)) throw new HoldfastError('usage', `"${name}" is not a disk name like vda.`);
  }
  if (new Set(disks.map(({ name }) => name)).size < disks.length) {
    throw new HoldfastError('usage', 'A disk is named twice.');
  }
}
