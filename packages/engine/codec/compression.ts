/**
 * zstd over node:zlib. Chunks are compressed on libuv's pool, which measured as fast as worker threads at a third of the
 * memory (ADR 0004); small metadata is done in place because a trip to the pool costs more than the work.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { KiB } from '@holdfast/base';
import { compressorsOf, decompressors, type ZstdStreams } from './zstd-streams.ts';

/** Below this a call on the spot is quicker than one through the pool (a hop measured 50-100 us). */
const inlineBytes = 32 * KiB;
/** The same where memory is given, which a call on the spot cannot use. */
const inlineDespiteMemoryBytes = 4 * KiB;

export const compressionLevels = { fast: 1, archive: 3 } as const;
export type CompressionLevel = (typeof compressionLevels)[keyof typeof compressionLevels];

const compressors = new Map<CompressionLevel, ZstdStreams>();
const placingCompressors = new Map<CompressionLevel, ZstdStreams>();
const decompressor = decompressors();
const placingDecompressor = decompressors();

/** Memory that the packed form of any `plainBytes` fits into, with room to spare (zstd.h, ZSTD_COMPRESSBOUND). */
export function packedBound(plainBytes: number): number {
  return plainBytes + Math.ceil(plainBytes / 256) + KiB;
}

/**
 * One zstd frame of `plain`, in parts to be laid one after the other.
 * @param into memory for it, at least `packedBound` long; the parts are views of it where that is possible
 */
export async function compress(plain: Buffer, level: CompressionLevel, into?: Buffer): Promise<readonly Buffer[]> {
  if (plain.length <= inlineBytes) {
    const params = { [constants.ZSTD_c_compressionLevel]: level };
    return [zstdCompressSync(plain, { params, chunkSize: Math.max(1024, plain.length + 1024) })];
  }
  const pool = into ? placingCompressors : compressors;
  let streams = pool.get(level);
  if (!streams) {
    streams = compressorsOf(level);
    pool.set(level, streams);
  }
  return await streams.run(plain, { into });
}

/**
 * Exactly `plainBytes` bytes, where possible as a view of `into` (zstd-streams.ts says how long that must be).
 * @throws Error or RangeError on damaged input; callers translate
 */
export async function decompress(packed: Buffer, plainBytes: number, into?: Buffer): Promise<Buffer> {
  const parts =
    plainBytes <= (into ? inlineDespiteMemoryBytes : inlineBytes)
      ? [
          zstdDecompressSync(packed, {
            chunkSize: Math.max(1024, plainBytes),
            maxOutputLength: Math.max(1, plainBytes),
          }),
        ]
      : await (into ? placingDecompressor : decompressor).run(packed, { expectedBytes: plainBytes, into });
  const plain = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  if (plain.length !== plainBytes) throw new RangeError(`${plain.length} bytes came out, ${plainBytes} were written`);
  return plain;
}
