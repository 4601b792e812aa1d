/**
 * A chunk of which little changed: only its changed sub-chunks are read. For the others the hashes speak that are stored
 * with the chunk's base; the id over all of them is the same as if the whole chunk had been read.
 */
import type { BlockSource } from '@holdfast/base';
import { type ChunkDigest, changedSubChunks, subChunkBytes } from '../chunk/chunk-digest.ts';
import { hashBytes } from '../chunk/hash.ts';
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
  const reads: Promise<void>[] = [];
  let readBytes = 0;
  for (let at = 0; at < dirty.length; ) {
    let end = at + 1;
    while (dirty[end] === dirty[end - 1]! + 1) end += 1;
    const start = dirty[at]! * subChunkBytes;
    const run = into.subarray(readBytes, readBytes + Math.min((end - at) * subChunkBytes, length - start));
    reads.push(source.read({ into: run, offset: offset + start, signal }));
    for (let index = 0; at < end; index += 1, at += 1) {
      contents.set(dirty[at]!, run.subarray(index * subChunkBytes, (index + 1) * subChunkBytes));
    }
    readBytes += run.length;
  }
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

/** All of them, also after a failure: nobody may write into a buffer that is used again. */
async function settled(reads: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(reads)) if (result.status === 'rejected') throw result.reason;
}
