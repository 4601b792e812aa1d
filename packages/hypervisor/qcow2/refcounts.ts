/** How often each cluster of a qcow2 image is referred to, by its refcount table. */
import { MiB } from '@holdfast/base';
import { readUint64 } from '../nbd/protocol.ts';
import type { Qcow2Header } from './header.ts';
import type { ImageFile } from './image-file.ts';

/** Blocks of counts kept: with clusters of 64 KiB, 128 of them, which count 256 GiB. */
const CACHE_BYTES = 8 * MiB;
const MIN_BLOCKS = 4;

/** The counts of `clustersPerBlock` clusters that follow each other. */
export class RefcountBlock {
  readonly #bytes: Buffer | undefined;
  readonly #bits: number;

  constructor({ bytes, bits }: { readonly bytes: Buffer | undefined; readonly bits: number }) {
    this.#bytes = bytes;
    this.#bits = bits;
  }

  /** Exact up to 2^32; larger ones, which 64 bits could hold, are only large. */
  at(index: number): number {
    const bytes = this.#bytes;
    if (!bytes) return 0;
    switch (this.#bits) {
      case 64:
        return bytes.readUInt32BE(index * 8) * 2 ** 32 + bytes.readUInt32BE(index * 8 + 4);
      case 32:
        return bytes.readUInt32BE(index * 4);
      case 16:
        return bytes.readUInt16BE(index * 2);
      default: {
        const bit = index * this.#bits;
        return (bytes[bit >>> 3]! >>> (bit & 7)) & ((1 << this.#bits) - 1);
      }
    }
  }
}

export class Refcounts {
  readonly clustersPerBlock: number;
  readonly #file: ImageFile;
  readonly #header: Qcow2Header;
  readonly #table: Buffer;
  /** Least recently used first. */
  readonly #blocks = new Map<number, RefcountBlock>();
  readonly #maxBlocks: number;

  /** @throws image_damaged, source_unreadable */
  static async open(file: ImageFile, header: Qcow2Header): Promise<Refcounts> {
    const { offset, clusters } = header.refcountTable;
    const table = Buffer.alloc(clusters * header.clusterBytes);
    // The file may end with the last entry in use.
    const presentBytes = Math.max(8, Math.min(table.length, (await file.sizeBytes()) - offset));
    await file.read({ into: table.subarray(0, presentBytes), offset, what: 'the refcount table' });
    return new Refcounts({ file, header, table });
  }

  private constructor(options: { readonly file: ImageFile; readonly header: Qcow2Header; readonly table: Buffer }) {
    const { file, header, table } = options;
    this.#file = file;
    this.#header = header;
    this.#table = table;
    this.clustersPerBlock = (header.clusterBytes * 8) / header.refcountBits;
    this.#maxBlocks = Math.max(MIN_BLOCKS, Math.floor(CACHE_BYTES / header.clusterBytes));
  }

  /** The block that counts cluster `number * clustersPerBlock` and those after it. @throws image_damaged, source_unreadable */
  async block(number: number): Promise<RefcountBlock> {
    const block = this.#blocks.get(number) ?? (await this.#read(number));
    this.#blocks.delete(number);
    this.#blocks.set(number, block);
    for (const [oldest] of this.#blocks) {
      if (this.#blocks.size <= this.#maxBlocks) break;
      this.#blocks.delete(oldest);
    }
    return block;
  }

  async #read(number: number): Promise<RefcountBlock> {
    const bits = this.#header.refcountBits;
    const offset = (number + 1) * 8 <= this.#table.length ? readUint64(this.#table, number * 8) : 0;
    // No block: nothing is allocated there.
    if (offset === 0) return new RefcountBlock({ bytes: undefined, bits });
    const { clusterBytes } = this.#header;
    if (offset === undefined || offset % clusterBytes !== 0) {
      throw this.#file.damaged(`entry ${number} of the refcount table is no place of a cluster`);
    }
    const bytes = Buffer.alloc(clusterBytes);
    await this.#file.read({ into: bytes, offset, what: `refcount block ${number}` });
    return new RefcountBlock({ bytes, bits });
  }
}
