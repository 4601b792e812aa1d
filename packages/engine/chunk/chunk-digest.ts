/**
 * The id of a chunk is a hash over the hashes of its 64 KiB sub-chunks. A frame keeps those hashes beside the content, so
 * a changed chunk can be compared with its predecessor sub-chunk by sub-chunk without fetching or unpacking it.
 */
import { KiB } from '@holdfast/base';
import { hashBytes, type KeyedHash } from './hash.ts';

export const subChunkBytes = 64 * KiB;

export type ChunkDigest = {
  readonly id: Buffer;
  /** 32 bytes a sub-chunk, in order; an empty chunk has none. */
  readonly subChunkHashes: Buffer;
};

/** What a stored frame tells of its chunk without its content. */
export type StoredDigest = ChunkDigest & { readonly plainBytes: number };

export type ChunkHashes = {
  /** Of the list of sub-chunk hashes. */
  readonly list: KeyedHash;
  readonly subChunk: KeyedHash;
};

export function digestChunk(hashes: ChunkHashes, plain: Buffer): ChunkDigest {
  const count = Math.ceil(plain.length / subChunkBytes);
  const subChunkHashes = Buffer.allocUnsafe(count * hashBytes);
  for (let index = 0; index < count; index += 1) {
    hashes.subChunk(subChunkOf(plain, index)).copy(subChunkHashes, index * hashBytes);
  }
  return { id: hashes.list(subChunkHashes), subChunkHashes };
}

export function subChunkOf(plain: Buffer, index: number): Buffer {
  return plain.subarray(index * subChunkBytes, (index + 1) * subChunkBytes);
}

/** Sub-chunks whose hashes differ; undefined when there are not as many. Lengths must be compared besides. */
export function changedSubChunks(before: Buffer, after: Buffer): number[] | undefined {
  if (before.length !== after.length) return undefined;
  const changed: number[] = [];
  for (let at = 0; at < after.length; at += hashBytes) {
    if (after.compare(before, at, at + hashBytes, at, at + hashBytes) !== 0) changed.push(at / hashBytes);
  }
  return changed;
}
