/**
 * A disk that is made up while it is read and compresses to 0.55: of each 64 KiB a quarter is noise,
 * the rest log lines. The content of a 64 KiB granule follows from its place and its version alone; a write is a new version.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { type BlockExtent, type BlockSource, type Extent, KiB, MiB } from '@holdfast/base';
import { createKeystream } from '../image/keystream.ts';
import { logText } from '../image/log-text.ts';

export const granuleBytes = 64 * KiB;
const noiseBytes = granuleBytes / 4;
const poolBytes = 16 * MiB;

export class MixedDisk {
  readonly sizeBytes: number;
  readonly #versions: Uint32Array;
  readonly #key: Buffer;
  readonly #text: Buffer;

  /** @param options.sizeBytes whole granules */
  constructor(options: { readonly label: string; readonly sizeBytes: number }) {
    this.sizeBytes = options.sizeBytes;
    this.#versions = new Uint32Array(options.sizeBytes / granuleBytes);
    this.#key = createHash('sha256').update(options.label).digest().subarray(0, 16);
    this.#text = logText({ keystream: createKeystream(options.label), sizeBytes: poolBytes });
  }

  get granules(): number {
    return this.#versions.length;
  }

  /** New content for whole granules. */
  write({ offset, length }: Extent): void {
    for (let granule = offset / granuleBytes; granule < (offset + length) / granuleBytes; granule += 1) {
      this.#versions[granule]! += 1;
    }
  }

  /** Fills `into` from `offset`, which is a granule's. */
  fill(into: Buffer, offset: number): void {
    for (let at = 0; at < into.length; at += granuleBytes) {
      this.#fillGranule(into.subarray(at, at + granuleBytes), (offset + at) / granuleBytes);
    }
  }

  /** As it is read, granule by granule; whoever writes in between decides what comes out. */
  source(): BlockSource {
    return {
      sizeBytes: this.sizeBytes,
      concurrency: 4,
      read: ({ into, offset }) => {
        const start = Math.floor(offset / granuleBytes) * granuleBytes;
        const end = Math.ceil((offset + into.length) / granuleBytes) * granuleBytes;
        if (start === offset && end === offset + into.length) this.fill(into, offset);
        else {
          const whole = Buffer.allocUnsafe(end - start);
          this.fill(whole, start);
          whole.copy(into, 0, offset - start);
        }
        return Promise.resolve();
      },
      extents: ({ offset, length }) => allData({ offset, length, zero: false }),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  #fillGranule(into: Buffer, granule: number): void {
    const start = Buffer.alloc(16);
    start.writeUInt32LE(granule, 0);
    start.writeUInt32LE(this.#versions[granule]!, 4);
    const noise = createCipheriv('aes-128-ctr', this.#key, start).update(Buffer.alloc(noiseBytes));
    noise.copy(into);
    const textBytes = granuleBytes - noiseBytes;
    const from = noise.readUInt32LE(0) % (poolBytes - textBytes);
    this.#text.copy(into, noiseBytes, from, from + textBytes);
  }
}

async function* allData(extent: BlockExtent): AsyncGenerator<BlockExtent> {
  yield extent;
}
