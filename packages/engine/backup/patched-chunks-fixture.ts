/** What the stories of patched chunks share: small changes, a look at the map, and every way to read a point back. */
import assert from 'node:assert/strict';
import { type Extent, KiB, MiB } from '@holdfast/base';
import { MemoryDisk, MemoryTarget, noise, seededRandom } from '@holdfast/testing';
import { subChunkBytes } from '../chunk/chunk-digest.ts';
import { hashAlgorithms } from '../chunk/hash.ts';
import { decodeFrameHead, frameHeaderBytes } from '../codec/frame.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { RestorePoint } from '../manifest/points.ts';
import { MapReader } from '../map/map-reader.ts';
import { locationsOf, type Reference, type SplitReference } from '../map/reference-list.ts';
import { readFrame, readRange } from '../pack/frame-reader.ts';
import type { Repository } from '../repository/repository.ts';
import { assertRestores, countedUses, tableUses } from '../repository-fixture.ts';
import { type RestoreOutcome, restoreDisk } from '../restore/restore-disk.ts';
import { openPointDisk } from '../serve/point-disk.ts';

export const patchedChunkBytes = [256 * KiB, MiB] as const;

/** Both chunk sizes, both hashes, encrypted and not. */
export const formats = patchedChunkBytes.flatMap((chunkBytes) =>
  hashAlgorithms.flatMap((hash) => [false, true].map((encrypted) => ({ chunkBytes, hash, encrypted }))),
);

export function nameOf({ chunkBytes, hash, encrypted }: (typeof formats)[number]): string {
  return `${chunkBytes / KiB} KiB chunks, ${hash}, ${encrypted ? 'encrypted' : 'not encrypted'}`;
}

export function diskOfNoise(sizeBytes: number, seed = 1): MemoryDisk {
  const disk = new MemoryDisk(sizeBytes);
  disk.write(noise({ seed, length: sizeBytes }), 0);
  return disk;
}

/** Writes a little into each of the sub-chunks, which count from the start of the disk. Answers what a bitmap would tell. */
export function touch(disk: MemoryDisk, subChunks: readonly number[], seed: number): Extent[] {
  return subChunks.map((index) => {
    const offset = index * subChunkBytes;
    const length = Math.min(subChunkBytes, disk.sizeBytes - offset);
    const at = offset + Math.floor(length / 3);
    disk.write(noise({ seed: seed + index, length: Math.min(100, disk.sizeBytes - at) }), at);
    return { offset, length };
  });
}

/** The map of a disk of the point, entry by entry. */
export async function entriesOf(repository: Repository, point: RestorePoint, disk = 0): Promise<Reference[]> {
  const map = await MapReader.open(repository, { root: point.manifest.roots[disk]! });
  const entries: Reference[] = [];
  for (let page = 0; page < map.geometry.pageCount; page += 1) entries.push(...(await map.page(page)));
  return entries;
}

export async function kindsOf(repository: Repository, point: RestorePoint, disk = 0): Promise<string[]> {
  return (await entriesOf(repository, point, disk)).map(({ kind }) => kind);
}

/** The entry, which must be a patched one. */
export function asSplit(entry: Reference | undefined): SplitReference {
  assert.equal(entry?.kind, 'split');
  return entry;
}

/** Packs in use are counted right, bases are whole chunks, and patches are for the bases that the map names. */
export async function assertSound(repository: Repository, point: RestorePoint): Promise<void> {
  assert.deepEqual(await tableUses(repository, point), await countedUses(repository, point));
  for (const disk of point.manifest.disks.keys()) {
    for (const entry of await entriesOf(repository, point, disk)) {
      if (entry.kind !== 'split') continue;
      const [base, patch] = await Promise.all([entry.base, entry.patch].map((place) => headerAt(repository, place)));
      assert.equal(base!.kind, 'data', 'a base is a whole chunk');
      assert.equal(patch!.kind, 'patch');
      const reference = { id: patch!.id, location: entry.patch };
      const content = await readFrame(repository, { kind: 'patch', reference });
      assert.ok(content.subarray(0, 32).equals(base!.id), 'a patch is of its base');
    }
  }
}

async function headerAt(repository: Repository, { packId, offset, storedBytes }: ChunkLocation) {
  const bytes = await readRange(repository, { packKind: 'data', packId, offset, length: storedBytes });
  assert.ok(storedBytes > frameHeaderBytes);
  return decodeFrameHead(bytes).header;
}

/** What the point gives back is the disk: on a fresh target, over garbage, and by random reads. */
export async function assertEveryWay(
  repository: Repository,
  { point, disk, seed = 1 }: { readonly point: RestorePoint; readonly disk: MemoryDisk; readonly seed?: number },
): Promise<void> {
  await assertRestores(repository, point, { vda: disk });
  const garbage = diskOfNoise(disk.sizeBytes, seed + 1000);
  await restoreOver(repository, point, garbage);
  assert.equal(disk.differsFrom(garbage), undefined, 'over garbage');
  await assertReads(repository, { point, disk, seed });
  await assertSound(repository, point);
}

/** Restores in place. */
export async function restoreOver(
  repository: Repository,
  point: RestorePoint,
  disk: MemoryDisk,
): Promise<RestoreOutcome> {
  return await restoreDisk({ repository, point, target: new MemoryTarget({ disk, fresh: false }) });
}

async function assertReads(
  repository: Repository,
  { point, disk, seed }: { readonly point: RestorePoint; readonly disk: MemoryDisk; readonly seed: number },
): Promise<void> {
  const random = seededRandom(seed);
  await using source = await openPointDisk({ repository, point, cacheBytes: 1 });
  for (let index = 0; index < 12; index += 1) {
    const offset = Math.floor(random() * disk.sizeBytes);
    const length = Math.min(disk.sizeBytes - offset, Math.floor(random() * 5 * subChunkBytes));
    const [into, due] = [Buffer.alloc(length, 1), Buffer.alloc(length)];
    await source.read({ into, offset });
    disk.read(due, offset);
    assert.ok(into.equals(due), `${length} bytes at ${offset}`);
  }
}

/** Whether the point needs what lies there. */
export async function usesPlace(
  repository: Repository,
  point: RestorePoint,
  { packId, slot }: ChunkLocation,
): Promise<boolean> {
  const entries = await entriesOf(repository, point);
  return entries.flatMap(locationsOf).some((place) => place.packId === packId && place.slot === slot);
}
