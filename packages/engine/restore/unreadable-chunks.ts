/** What a restore with best effort had to leave out. */
import { chunkLengthAt, type Geometry } from '../chunk/geometry.ts';

export type UnreadableRange = {
  readonly offset: number;
  readonly length: number;
  /** A sentence. */
  readonly reason: string;
};

export class UnreadableChunks {
  /** Reasons by chunk. */
  readonly #chunks = new Map<number, string>();
  readonly #geometry: Geometry;
  #bytes = 0;

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(chunk: number, reason: string): void {
    if (!this.#chunks.has(chunk)) this.#bytes += chunkLengthAt(this.#geometry, chunk);
    this.#chunks.set(chunk, reason);
  }

  /** In the order of the disk; neighbours that are lost for the same reason are one. */
  ranges(): UnreadableRange[] {
    const ranges: { offset: number; length: number; reason: string }[] = [];
    for (const [chunk, reason] of [...this.#chunks].sort(([a], [b]) => a - b)) {
      const offset = chunk * this.#geometry.chunkBytes;
      const length = chunkLengthAt(this.#geometry, chunk);
      const last = ranges.at(-1);
      if (last?.reason === reason && last.offset + last.length === offset) last.length += length;
      else ranges.push({ offset, length, reason });
    }
    return ranges;
  }
}
