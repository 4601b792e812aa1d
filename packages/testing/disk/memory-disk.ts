/**
 * A disk in memory that costs only what was written: the oracle and the double of real disks in engine tests. Blocks are
 * never changed in place, so a clone is a snapshot that costs a map of references, and terabytes of holes cost nothing.
 */
import { createHash } from 'node:crypto';
import { type BlockExtent, type Extent, KiB } from '@holdfast/base';

/** Smaller than the smallest chunk, so that a chunk can be zero in part. */
export const diskBlockBytes = 16 * KiB;

const zeroBlock = Buffer.alloc(diskBlockBytes);

export class MemoryDisk {
  #sizeBytes: number;
  /** By number; what is missing is a hole. */
  readonly #blocks: Map<number, Buffer>;

  constructor(sizeBytes: number, blocks: Map<number, Buffer> = new Map()) {
    this.#sizeBytes = sizeBytes;
    this.#blocks = blocks;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The same content from here on apart. */
  clone(): MemoryDisk {
    return new MemoryDisk(this.#sizeBytes, new Map(this.#blocks));
  }

  /** What is cut off is gone: a disk that grows again has zeros there. */
  resize(sizeBytes: number): void {
    if (sizeBytes < this.#sizeBytes) this.zero({ offset: sizeBytes, length: this.#sizeBytes - sizeBytes });
    this.#sizeBytes = sizeBytes;
  }

  read(into: Buffer, offset: number): void {
    this.#assertInside({ offset, length: into.length });
    for (const part of partsOf({ offset, length: into.length })) {
      const block = this.#blocks.get(part.block) ?? zeroBlock;
      block.copy(into, part.done, part.start, part.end);
    }
  }

  /** Zeros that are written stay data for `extents`; only `zero` makes holes. */
  write(from: Buffer, offset: number): void {
    this.#assertInside({ offset, length: from.length });
    for (const part of partsOf({ offset, length: from.length })) {
      const block = Buffer.from(this.#blocks.get(part.block) ?? zeroBlock);
      from.copy(block, part.start, part.done, part.done + part.end - part.start);
      this.#blocks.set(part.block, block);
    }
  }

  zero(extent: Extent): void {
    this.#assertInside(extent);
    const { offset, length } = extent;
    const first = Math.floor(offset / diskBlockBytes);
    const last = Math.floor((offset + length - 1) / diskBlockBytes);
    if (length === 0) return;
    // Few blocks exist however long the extent is.
    const touched = last - first > this.#blocks.size ? this.#blocks.keys() : range(first, last + 1);
    for (const number of [...touched]) {
      const block = this.#blocks.get(number);
      if (!block || number < first || number > last) continue;
      const start = Math.max(0, offset - number * diskBlockBytes);
      const end = Math.min(diskBlockBytes, offset + length - number * diskBlockBytes);
      const isWhole = start === 0 && (end === diskBlockBytes || number * diskBlockBytes + end >= this.#sizeBytes);
      if (isWhole) this.#blocks.delete(number);
      else this.#blocks.set(number, Buffer.from(block).fill(0, start, end));
    }
  }

  /** Contiguous, together exactly the range; a hole is `zero`, everything else is not. */
  *extents(extent: Extent): Generator<BlockExtent> {
    this.#assertInside(extent);
    const end = extent.offset + extent.length;
    let at = extent.offset;
    const present = [...this.#blocks.keys()]
      .filter((number) => (number + 1) * diskBlockBytes > at && number * diskBlockBytes < end)
      .sort((left, right) => left - right);
    for (let index = 0; index < present.length; ) {
      let next = index + 1;
      while (present[next] === present[next - 1]! + 1) next += 1;
      const from = Math.max(at, present[index]! * diskBlockBytes);
      const to = Math.min(end, (present[next - 1]! + 1) * diskBlockBytes);
      if (from > at) yield { offset: at, length: from - at, zero: true };
      yield { offset: from, length: to - from, zero: false };
      at = to;
      index = next;
    }
    if (at < end) yield { offset: at, length: end - at, zero: true };
  }

  /** Offset of the first byte that differs (a missing byte counts), or undefined when both read the same. */
  differsFrom(other: MemoryDisk): number | undefined {
    const numbers = new Set([...this.#blocks.keys(), ...other.#blocks.keys()]);
    for (const number of [...numbers].sort((left, right) => left - right)) {
      const mine = this.#blocks.get(number) ?? zeroBlock;
      const theirs = other.#blocks.get(number) ?? zeroBlock;
      if (mine === theirs || mine.equals(theirs)) continue;
      return number * diskBlockBytes + mine.findIndex((byte, index) => byte !== theirs[index]);
    }
    return this.#sizeBytes === other.#sizeBytes ? undefined : Math.min(this.#sizeBytes, other.#sizeBytes);
  }

  /** SHA-256 of all bytes, hex. */
  sha256(): string {
    const hash = createHash('sha256');
    for (let offset = 0; offset < this.#sizeBytes; offset += diskBlockBytes) {
      const block = this.#blocks.get(offset / diskBlockBytes) ?? zeroBlock;
      hash.update(block.subarray(0, Math.min(diskBlockBytes, this.#sizeBytes - offset)));
    }
    return hash.digest('hex');
  }

  #assertInside({ offset, length }: Extent): void {
    if (offset >= 0 && length >= 0 && offset + length <= this.#sizeBytes) return;
    throw new RangeError(`${length} bytes at ${offset} are not inside a disk of ${this.#sizeBytes} bytes`);
  }
}

/** The blocks of a range: which part of each, and how much of the range came before. */
function* partsOf({ offset, length }: Extent): Generator<{ block: number; start: number; end: number; done: number }> {
  for (let done = 0; done < length; ) {
    const block = Math.floor((offset + done) / diskBlockBytes);
    const start = offset + done - block * diskBlockBytes;
    const end = Math.min(diskBlockBytes, start + length - done);
    yield { block, start, end, done };
    done += end - start;
  }
}

function* range(from: number, to: number): Generator<number> {
  for (let number = from; number < to; number += 1) yield number;
}
