/**
 * A disk of the point that is copied, as a backup reads it: what differs from a point that the target has is found by
 * comparing maps, and nothing else is fetched. Damage is reported as `source_point_damaged`, so that nobody takes it for
 * damage of the target.
 */
import { type BlockExtent, type BlockSource, type Extent, HoldfastError, hasCode } from '@holdfast/base';
import type { BackupDisk } from '../backup/backup.ts';
import { ChunkSet } from '../chunk/chunk-set.ts';
import { chunkLengthAt, chunksPerPage, type Geometry } from '../chunk/geometry.ts';
import type { ManifestDisk } from '../manifest/manifest.ts';
import type { RestorePoint } from '../manifest/points.ts';
import { MapReader } from '../map/map-reader.ts';
import { type Reference, sameContent } from '../map/reference-list.ts';
import type { Repository } from '../repository/repository.ts';
import { pointDiskOf } from '../serve/point-disk.ts';

export type SourceDiskRequest = {
  readonly source: Repository;
  readonly point: RestorePoint;
  /** Ordinal of the disk in the point. */
  readonly index: number;
  /** Another point of the source that has the disk on the same grid, and whose copy the target has. */
  readonly base: RestorePoint | undefined;
  /** Chunk ids mean the same in the target. */
  readonly sharesIds: boolean;
  readonly signal?: AbortSignal | undefined;
};

/** The caller holds a reader's session of the source. @throws source_point_damaged, storage errors */
export async function openSourceDisk(request: SourceDiskRequest): Promise<BackupDisk> {
  const { source, point, index, base, sharesIds, signal } = request;
  const { manifest } = point;
  const { name, bitmap } = manifest.disks[index]!;
  const naming = <Result>(read: () => Promise<Result>): Promise<Result> => namingThePoint(point, read);
  const root = manifest.roots[index]!;
  const map = await naming(() => MapReader.open(source, { root, signal }));
  const before = base && (await openBaseMap(request, map.geometry));
  const differing = before && (await naming(() => differingChunks({ map, before, signal })));
  const knownId = async (chunk: number): Promise<Buffer | undefined> => {
    const entry = await naming(() => map.entry(chunk, signal));
    return 'id' in entry ? entry.id : undefined;
  };
  return {
    name,
    bitmap: bitmap ?? undefined,
    // Each chunk is read once, and only those that differ: nothing is worth keeping or fetching ahead.
    source: new NamedSource(point, pointDiskOf({ repository: source, map, cacheBytes: 0, readAheadChunks: 0 })),
    changed: differing && extentsOf(differing, map.geometry),
    changesProved: true,
    knownId: sharesIds ? knownId : undefined,
  };
}

/** The base's map of the disk; undefined when it cannot serve: another grid, or damaged, which is its own affair. */
async function openBaseMap(request: SourceDiskRequest, geometry: Geometry): Promise<MapReader | undefined> {
  const { source, point, index, base, signal } = request;
  const { name } = point.manifest.disks[index]!;
  const root = base?.manifest.roots[base.manifest.disks.findIndex((disk: ManifestDisk) => disk.name === name)];
  if (!root) return undefined;
  const map = await ifDamaged(undefined, () => MapReader.open(source, { root, signal }));
  return map?.geometry.chunkBytes === geometry.chunkBytes ? map : undefined;
}

/** Chunks of `map` that are not proved by their ids to be the same in `before`. Pages with one id are not read. */
async function differingChunks(options: {
  readonly map: MapReader;
  readonly before: MapReader;
  readonly signal?: AbortSignal | undefined;
}): Promise<ChunkSet> {
  const { map, before, signal } = options;
  const { chunkCount, pageCount } = map.geometry;
  const differing = new ChunkSet(chunkCount);
  for (let page = 0; page < pageCount; page += 1) {
    const inBoth = page < before.geometry.pageCount;
    if (inBoth && isSame(map.pageReference(page), before.pageReference(page))) continue;
    const entries = await map.page(page, signal);
    const earlier = inBoth ? await ifDamaged([], () => before.page(page, signal)) : [];
    for (const [index, entry] of entries.entries()) {
      const other = earlier[index];
      if (!other || !isSame(entry, other)) differing.add(page * chunksPerPage + index);
    }
  }
  return differing;
}

/** What is bad in both has no content that could be the same. */
function isSame(left: Reference, right: Reference): boolean {
  return left.kind !== 'bad' && sameContent(left, right);
}

function* extentsOf(chunks: ChunkSet, geometry: Geometry): Generator<Extent> {
  for (let chunk = 0; chunk < geometry.chunkCount; chunk += 1) {
    if (chunks.has(chunk)) yield { offset: chunk * geometry.chunkBytes, length: chunkLengthAt(geometry, chunk) };
  }
}

async function ifDamaged<Result, Instead>(instead: Instead, read: () => Promise<Result>): Promise<Result | Instead> {
  try {
    return await read();
  } catch (error) {
    if (hasCode(error, 'chunk_corrupt', 'repository_damaged')) return instead;
    throw error;
  }
}

/** Runs a read of the source. @throws source_point_damaged for damage, else as `read` */
export async function namingThePoint<Result>(point: RestorePoint, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    throw damageOf(point, error);
  }
}

function damageOf({ manifest }: RestorePoint, error: unknown): unknown {
  if (!hasCode(error, 'chunk_corrupt', 'repository_damaged')) return error;
  const detail = `Point ${manifest.id} of ${manifest.resource} cannot be read: ${error.message}`;
  return new HoldfastError('source_point_damaged', detail, { cause: error, facts: { point: manifest.id } });
}

class NamedSource implements BlockSource {
  readonly #point: RestorePoint;
  readonly #disk: BlockSource;

  constructor(point: RestorePoint, disk: BlockSource) {
    this.#point = point;
    this.#disk = disk;
  }

  get sizeBytes(): number {
    return this.#disk.sizeBytes;
  }

  get concurrency(): number {
    return this.#disk.concurrency;
  }

  async read(request: { into: Buffer; offset: number; signal?: AbortSignal | undefined }): Promise<void> {
    await namingThePoint(this.#point, () => this.#disk.read(request));
  }

  async *extents(range: Extent & { signal?: AbortSignal | undefined }): AsyncGenerator<BlockExtent> {
    try {
      yield* this.#disk.extents(range);
    } catch (error) {
      throw damageOf(this.#point, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disk[Symbol.asyncDispose]();
  }
}
