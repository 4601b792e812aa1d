/** The stored chunk that a patch builds on, found from what an earlier point says of the same place. */
import { hasCode } from '@holdfast/base';
import type { StoredDigest } from '../chunk/chunk-digest.ts';
import { hashBytes } from '../chunk/hash.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { Reference } from '../map/reference-list.ts';
import { readChunkDigest, readPatch } from '../pack/chunk-reader.ts';
import type { Repository } from '../repository/repository.ts';

export type PatchBase = {
  readonly location: ChunkLocation;
  readonly digest: StoredDigest;
  /** Sub-chunks that the earlier point has in place of the base's; empty unless it was a patch itself. */
  readonly patched: ReadonlyMap<number, Buffer>;
};

/** Up to this share of a chunk's sub-chunks goes as a patch; more is stored whole, so that reading stays quick. */
const patchedShare = 1 / 4;

/** How many sub-chunks of a chunk a patch may hold; 0: the chunk is too short for patches. */
export function patchLimit(subChunkCount: number): number {
  return Math.floor(subChunkCount * patchedShare);
}

/**
 * Undefined when there is nothing to build on. A base that is damaged or gone is none. Nor is one that cannot be read: a
 * rotten sector must not stop every backup to come; a storage that is away will say so when the whole chunk is put.
 * @param request.withPatched what the earlier point changed is read as well
 */
export async function openPatchBase(
  repository: Repository,
  request: {
    readonly before: Reference | undefined;
    readonly chunkBytes: number;
    /** Where a frame can be built on: its place, or where it is now. */
    readonly usablePlace: (location: ChunkLocation) => Promise<ChunkLocation | undefined>;
    readonly withPatched: boolean;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<PatchBase | undefined> {
  const { before, chunkBytes, usablePlace, withPatched, signal } = request;
  if (before?.kind !== 'data' && before?.kind !== 'split') return undefined;
  try {
    // The head of a frame may be there in a pack that was cut short behind it.
    const location = await usablePlace(before.kind === 'data' ? before.location : before.base);
    if (!location) return undefined;
    const digest = await readChunkDigest(repository, { location, chunkBytes, signal });
    // The last chunk of a resized disk: as many sub-chunks, but another length, which a patch cannot give it.
    if (digest.plainBytes !== chunkBytes) return undefined;
    if (before.kind === 'data') return { location, digest, patched: new Map() };
    if (!withPatched) return { location, digest, patched: new Map() };
    const patch = await readPatch(repository, { location: before.patch, chunkBytes, signal });
    const hashes = Buffer.from(digest.subChunkHashes);
    for (const { index, content } of patch.subChunks) {
      repository.codec.subChunkHash(content).copy(hashes, index * hashBytes);
    }
    const isThatPatch = repository.codec.digestOfHashes(hashes).id.equals(before.id);
    if (!isThatPatch) return undefined;
    return { location, digest, patched: new Map(patch.subChunks.map(({ index, content }) => [index, content])) };
  } catch (error) {
    if (hasCode(error, 'chunk_corrupt', 'storage_unreachable', 'storage_denied')) return undefined;
    throw error;
  }
}
