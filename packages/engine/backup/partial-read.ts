/**
 * A chunk that changed in part: only its changed sub-chunks are read. The others are known: they are zero, or the hashes
 * that are stored with the chunk's base speak for them; the id over all of them is the same as if the whole chunk had been
 * read.
 */
import type { BlockSource } from '@holdfast/base';
import { type ChunkDigest, changedSubChunks, subChunkBytes, subChunkOf } from '../chunk/chunk-digest.ts';
import { hashBytes } from '../chunk/hash.ts';
import { isAllZero } from '../chunk/zero.ts';
import type { ChunkCodec } from '../codec/chunk-codec.ts';
import type { PatchBase } from './patch-base.ts';

export type PartialChunk = {
  readonly digest: ChunkDigest;
  /** What differs from the base's whole chunk, ascending. */
  readonly changed: readonly number[];
  /** Content of every sub-chunk of `changed`. */
  readonly contents: ReadonlyMap<number, Buffer>;
  readonly readBytes: number;
};

/**
 * @param request.dirty sub-chunks that may have changed since `base`, ascending
 * @param request.into room for them, one after the other
 * @throws source errors
 */
export async function readPartly(request: {
  readonly source: BlockSource;
  readonly codec: ChunkCodec;
  readonly base: PatchBase;
  /** Of the chunk on the disk. */
  readonly offset: number;
  readonly length: number;
  readonly dirty: readonly number[];
  readonly into: Buffer;
  readonly signal?: AbortSignal | undefined;
}): Promise<PartialChunk> {
  const { source, codec, base, offset, length, dirty, into, signal } = request;
  const contents = new Map(base.patched);
  let readBytes = 0;
  const reads = runsOf(dirty).map(({ first, count }) => {
    const start = first * subChunkBytes;
    const run = into.subarray(readBytes, readBytes + Math.min(count * subChunkBytes, length - start));
    for (let index = 0; index < count; index += 1) contents.set(first + index, subChunkOf(run, index));
    readBytes += run.length;
    return source.read({ into: run, offset: offset + start, signal });
  });
  await settled(reads);
  const hashes = Buffer.from(base.digest.subChunkHashes);
  for (const [index, content] of contents) codec.subChunkHash(content).copy(hashes, index * hashBytes);
  return {
    digest: codec.digestOfHashes(hashes),
    changed: changedSubChunks(base.digest.subChunkHashes, hashes) ?? [],
    contents,
    readBytes,
  };
}

/**
 * Fills `into`, which is as long as the chunk, with a chunk that is zero but for what is read. `written` is its digest;
 * undefined: it is still zero.
 * @throws source errors
 */
export async function readOverZeros(request: {
  readonly source: BlockSource;
  readonly codec: ChunkCodec;
  readonly offset: number;
  readonly dirty: readonly number[];
  readonly into: Buffer;
  readonly signal?: AbortSignal | undefined;
}): Promise<{ readonly readBytes: number; readonly written: ChunkDigest | undefined }> {
  const { source, codec, offset, dirty, into, signal } = request;
  into.fill(0);
  let readBytes = 0;
  const reads = runsOf(dirty).map(({ first, count }) => {
    const run = into.subarray(first * subChunkBytes, (first + count) * subChunkBytes);
    readBytes += run.length;
    return source.read({ into: run, offset: offset + first * subChunkBytes, signal });
  });
  await settled(reads);
  const isWritten = dirty.some((index) => !isAllZero(subChunkOf(into, index)));
  return { readBytes, written: isWritten ? digestOverZeros(codec, into, dirty) : undefined };
}

/** The same digest as that of all of `plain`, without hashing its zeros. */
function digestOverZeros(codec: ChunkCodec, plain: Buffer, dirty: readonly number[]): ChunkDigest {
  const count = Math.ceil(plain.length / subChunkBytes);
  const hashes = Buffer.alloc(count * hashBytes, codec.zeroSubChunkHash);
  const isLastShort = plain.length % subChunkBytes !== 0;
  for (const index of isLastShort ? new Set([...dirty, count - 1]) : dirty) {
    codec.subChunkHash(subChunkOf(plain, index)).copy(hashes, index * hashBytes);
  }
  return codec.digestOfHashes(hashes);
}

/** Neighbours in one request. @param numbers ascending */
function runsOf(numbers: readonly number[]): { readonly first: number; readonly count: number }[] {
  const runs: { first: number; count: number }[] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last && number === last.first + last.count) last.count += 1;
    else runs.push({ first: number, count: 1 });
  }
  return runs;
}

/** All of them, also after a failure: nobody may write into a buffer that is used again. */
async function settled(reads: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(reads)) if (result.status === 'rejected') throw result.reason;
}
