/**
 * What changed on a disk since the parent: the chunks that must be looked at, and which 64 KiB of them. 1 TiB takes 2 MiB
 * of bits, so it never matters how many extents a bitmap has.
 */
import { type Extent, HoldfastError } from '@holdfast/base';
import { subChunkBytes } from '../chunk/chunk-digest.ts';
import { ChunkSet } from '../chunk/chunk-set.ts';
import { chunkLengthAt, type Geometry, geometryOf } from '../chunk/geometry.ts';

export class ChangedBlocks {
  /** Chunks that hold a change, also in part. */
  readonly chunks: ChunkSet;
  readonly #geometry: Geometry;
  readonly #grid: Geometry;
  readonly #subChunks: ChunkSet;

  private constructor(geometry: Geometry) {
    this.#geometry = geometry;
    this.#grid = geometryOf({ sizeBytes: geometry.sizeBytes, chunkBytes: subChunkBytes });
    this.chunks = new ChunkSet(geometry.chunkCount);
    this.#subChunks = new ChunkSet(this.#grid.chunkCount);
  }

  /**
   * The extents, and whatever the parent cannot speak for because the disk was resized.
   * @throws changed_extents_invalid
   */
  static async from(options: {
    readonly extents: AsyncIterable<Extent> | Iterable<Extent>;
    readonly geometry: Geometry;
    readonly parent: Geometry;
  }): Promise<ChangedBlocks> {
    const { extents, geometry, parent } = options;
    const changed = new ChangedBlocks(geometry);
    for await (const extent of extents) changed.#add(checked(extent, geometry));
    for (let chunk = 0; chunk < geometry.chunkCount; chunk += 1) {
      const known = chunk < parent.chunkCount && chunkLengthAt(parent, chunk) === chunkLengthAt(geometry, chunk);
      if (!known) changed.addChunk(chunk);
    }
    // A page that lost its end must be written anew, though all that is left of it is clean.
    if (geometry.chunkCount > 0 && geometry.chunkCount < parent.chunkCount) changed.addChunk(geometry.chunkCount - 1);
    return changed;
  }

  /** Numbers of the changed sub-chunks inside a chunk, ascending. */
  subChunksOf(chunk: number): number[] {
    const perChunk = this.#geometry.chunkBytes / subChunkBytes;
    const first = chunk * perChunk;
    const end = Math.min(first + perChunk, this.#grid.chunkCount);
    const found: number[] = [];
    for (let block = first; block < end; block += 1) if (this.#subChunks.has(block)) found.push(block - first);
    return found;
  }

  /** All of a chunk. */
  addChunk(chunk: number): void {
    this.#add({ offset: chunk * this.#geometry.chunkBytes, length: chunkLengthAt(this.#geometry, chunk) });
  }

  #add(extent: Extent): void {
    this.chunks.addTouched(extent, this.#geometry);
    this.#subChunks.addTouched(extent, this.#grid);
  }
}

function checked(extent: Extent, { sizeBytes }: Geometry): Extent {
  const { offset, length } = extent;
  const isInside =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= sizeBytes;
  if (isInside) return extent;
  throw new HoldfastError(
    'changed_extents_invalid',
    `Changed extent ${offset}+${length} is not inside the disk of ${sizeBytes} bytes.`,
  );
}
