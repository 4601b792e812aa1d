/** The fixed grid that a disk is cut into, and the profiles that choose its width. */
import { HoldfastError, KiB, MiB } from '@holdfast/base';

/** Map pages cover this many chunks each (repository-format.md). */
export const chunksPerPage = 256;

export const minimumChunkBytes = 64 * KiB;
export const maximumChunkBytes = 4 * MiB;

/** `default` suits VM disks; `database` small random writes; `archive` cold data. */
export const chunkProfiles = { default: MiB, database: 256 * KiB, archive: 4 * MiB } as const;
export type ChunkProfile = keyof typeof chunkProfiles;

export type Geometry = {
  readonly sizeBytes: number;
  /** Power of two from 64 KiB to 4 MiB. */
  readonly chunkBytes: number;
  readonly chunkCount: number;
  readonly pageCount: number;
};

/** @throws usage when the chunk size is not one the format knows, source_unreadable for a size that is none */
export function geometryOf(disk: { readonly sizeBytes: number; readonly chunkBytes: number }): Geometry {
  const { sizeBytes, chunkBytes } = disk;
  const isPowerOfTwo = Number.isInteger(chunkBytes) && (chunkBytes & (chunkBytes - 1)) === 0;
  if (!isPowerOfTwo || chunkBytes < minimumChunkBytes || chunkBytes > maximumChunkBytes) {
    throw new HoldfastError('usage', `A chunk size of ${chunkBytes} bytes is not a power of two from 64 KiB to 4 MiB.`);
  }
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
    throw new HoldfastError('source_unreadable', `A disk size of ${sizeBytes} bytes makes no sense.`);
  }
  const chunkCount = Math.ceil(sizeBytes / chunkBytes);
  return { sizeBytes, chunkBytes, chunkCount, pageCount: Math.ceil(chunkCount / chunksPerPage) };
}

/** Length of one chunk, bytes; the last one of a disk may be shorter. */
export function chunkLengthAt(geometry: Geometry, chunk: number): number {
  return Math.min(geometry.chunkBytes, geometry.sizeBytes - chunk * geometry.chunkBytes);
}
