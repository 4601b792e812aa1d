/**
 * zstd over node:zlib. Chunks are compressed on libuv's pool, which measured as fast as worker threads at a third of the
 * memory (ADR 0002); small metadata is done in place because a trip to the pool costs more than the work.
 */
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } from 'node:zlib';
import { KiB } from '@holdfast/base';

/** Below this a call on the spot is quicker than one through the pool (a hop measured 50-100 us). */
const inlineBytes = 32 * KiB;

const compressInPool = promisify(zstdCompress);
const decompressInPool = promisify(zstdDecompress);

export const compressionLevels = { fast: 1, archive: 3 } as const;
export type CompressionLevel = (typeof compressionLevels)[keyof typeof compressionLevels];

/** zstd frame of `plain`. One output block, so nothing is copied inside zlib. */
export async function compress(plain: Buffer, level: number): Promise<Buffer> {
  const options = {
    params: { [constants.ZSTD_c_compressionLevel]: level },
    chunkSize: Math.max(1024, plain.length + (plain.length >> 8) + 64),
  };
  return plain.length <= inlineBytes ? zstdCompressSync(plain, options) : await compressInPool(plain, options);
}

/**
 * Exactly `plainBytes` bytes.
 * @throws whatever zlib throws on damaged input; callers translate
 */
export async function decompress(packed: Buffer, plainBytes: number): Promise<Buffer> {
  const options = { chunkSize: Math.max(1024, plainBytes), maxOutputLength: plainBytes };
  const plain =
    plainBytes <= inlineBytes ? zstdDecompressSync(packed, options) : await decompressInPool(packed, options);
  if (plain.length !== plainBytes) throw new RangeError(`${plain.length} bytes came out, ${plainBytes} were written`);
  return plain;
}
