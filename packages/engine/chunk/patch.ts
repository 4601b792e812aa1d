/**
 * The content of a patch frame: the sub-chunks in which a chunk differs from a base chunk of the same length.
 *
 *   base chunk id (32) | count (u8) | sub-chunk numbers (count x u8, ascending) | their content, one after the other
 */
import { HoldfastError } from '@holdfast/base';
import { subChunkBytes } from './chunk-digest.ts';
import { hashBytes } from './hash.ts';

export type Patch = {
  readonly baseId: Buffer;
  readonly subChunks: readonly { readonly index: number; readonly content: Buffer }[];
};

/** @param changed sub-chunks that differ, ascending @param contentOf what the new chunk has there */
export function encodePatch(
  baseId: Buffer,
  changed: readonly number[],
  contentOf: (subChunk: number) => Buffer,
): Buffer {
  return Buffer.concat([baseId, Buffer.from([changed.length, ...changed]), ...changed.map(contentOf)]);
}

/** @param chunkBytes length of the chunk it applies to. Contents are views. @throws chunk_corrupt */
export function decodePatch(bytes: Buffer, chunkBytes: number): Patch {
  const count = bytes[hashBytes] ?? 0;
  let at = hashBytes + 1 + count;
  const subChunks: { index: number; content: Buffer }[] = [];
  let last = -1;
  for (const index of bytes.subarray(hashBytes + 1, at)) {
    const length = Math.min(subChunkBytes, chunkBytes - index * subChunkBytes);
    if (index <= last || length <= 0) throw damaged();
    subChunks.push({ index, content: bytes.subarray(at, at + length) });
    at += length;
    last = index;
  }
  if (bytes.length <= hashBytes || at !== bytes.length) throw damaged();
  return { baseId: bytes.subarray(0, hashBytes), subChunks };
}

/** The patched chunk, as a buffer of its own. */
export function applyPatch(base: Buffer, patch: Patch): Buffer {
  const plain = Buffer.from(base);
  for (const { index, content } of patch.subChunks) content.copy(plain, index * subChunkBytes);
  return plain;
}

function damaged(): HoldfastError {
  return new HoldfastError('chunk_corrupt', 'A patch does not fit the chunk that it changes.');
}
