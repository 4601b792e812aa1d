/**
 * Which chunks of a disk must be looked at, in order, and which of them are zero without reading. Extents are asked for
 * once over the whole disk, or for long changed runs only: a short run is read sooner than its status is known.
 */
import type { BlockSource } from '@holdfast/base';
import type { ChunkSet } from '../chunk/chunk-set.ts';
import type { Geometry } from '../chunk/geometry.ts';

/** Shorter changed runs are read without asking for their extents; one status request costs about one chunk read. */
const shortRunChunks = 8;

export type ChunkTask = { readonly chunk: number; readonly zero: boolean };

/** @param options.changed absent: every chunk */
export async function* planChunks(options: {
  readonly source: BlockSource;
  readonly geometry: Geometry;
  readonly changed?: ChunkSet | undefined;
  readonly signal?: AbortSignal | undefined;
}): AsyncGenerator<ChunkTask> {
  const { geometry, changed } = options;
  if (!changed) {
    yield* planRun({ ...options, from: 0, to: geometry.chunkCount });
    return;
  }
  for (let chunk = 0; chunk < geometry.chunkCount; ) {
    if (!changed.has(chunk)) {
      chunk += 1;
      continue;
    }
    let end = chunk + 1;
    while (end < geometry.chunkCount && changed.has(end)) end += 1;
    if (end - chunk < shortRunChunks) for (; chunk < end; chunk += 1) yield { chunk, zero: false };
    else yield* planRun({ ...options, from: chunk, to: end });
    chunk = end;
  }
}

async function* planRun(options: {
  readonly source: BlockSource;
  readonly geometry: Geometry;
  readonly from: number;
  readonly to: number;
  readonly signal?: AbortSignal | undefined;
}): AsyncGenerator<ChunkTask> {
  const { source, geometry, from, to, signal } = options;
  const { chunkBytes, sizeBytes } = geometry;
  const offset = from * chunkBytes;
  const length = Math.min(sizeBytes, to * chunkBytes) - offset;
  let next = from;
  /** The first byte that is not known to be zero, seen from the start of chunk `next`. */
  let zeroFrom = offset;
  for await (const extent of source.extents({ offset, length, signal })) {
    const end = extent.offset + extent.length;
    if (extent.zero) {
      // Whole chunks inside the zero run, which may have begun in an extent before.
      while (next < to && Math.min(sizeBytes, (next + 1) * chunkBytes) <= end) {
        yield { chunk: next, zero: zeroFrom <= next * chunkBytes };
        next += 1;
      }
    } else {
      while (next < to && next * chunkBytes < end) {
        yield { chunk: next, zero: false };
        next += 1;
      }
      zeroFrom = end;
    }
  }
  for (; next < to; next += 1) yield { chunk: next, zero: false };
}
