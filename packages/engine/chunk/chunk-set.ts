/**
 * A set of chunk numbers as bits: what changed, what is known to be zero. 1 TiB at 1 MiB chunks is 128 KiB, so it never
 * matters how many extents a bitmap has.
 */
import type { Extent } from '@holdfast/base';
import type { Geometry } from './geometry.ts';

export class ChunkSet {
  readonly #bits: Uint8Array;
  readonly chunkCount: number;
  #size = 0;

  constructor(chunkCount: number) {
    this.chunkCount = chunkCount;
    this.#bits = new Uint8Array(Math.ceil(chunkCount / 8));
  }

  /** How many chunks are in the set. */
  get size(): number {
    return this.#size;
  }

  has(chunk: number): boolean {
    return (this.#bits[chunk >> 3]! & (1 << (chunk & 7))) !== 0;
  }

  add(chunk: number): void {
    if (this.has(chunk)) return;
    this.#bits[chunk >> 3]! |= 1 << (chunk & 7);
    this.#size += 1;
  }

  /** Every chunk that the extent touches, also in part. */
  addTouched(extent: Extent, geometry: Geometry): void {
    if (extent.length === 0) return;
    const last = Math.min(this.chunkCount - 1, Math.floor((extent.offset + extent.length - 1) / geometry.chunkBytes));
    for (let chunk = Math.floor(extent.offset / geometry.chunkBytes); chunk <= last; chunk += 1) this.add(chunk);
  }

  /** Whether any chunk of `[from, to)` is in the set. */
  hasAny(from: number, to: number): boolean {
    for (let chunk = from; chunk < to; ) {
      if ((chunk & 7) === 0 && chunk + 8 <= to && this.#bits[chunk >> 3] === 0) {
        chunk += 8;
        continue;
      }
      if (this.has(chunk)) return true;
      chunk += 1;
    }
    return false;
  }
}
