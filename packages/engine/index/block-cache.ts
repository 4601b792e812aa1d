/**
 * All pieces of all runs that are in memory, within one fixed budget, least recently used first to go. Identical reads
 * in flight are shared. Reads in flight are not counted (callers' concurrency times one piece, 16 KiB at most).
 */

/** What an entry costs beside its bytes: the map's slot, the Buffer, its backing store. */
const overheadBytes = 256;

export class BlockCache {
  readonly #budgetBytes: number;
  readonly #blocks = new Map<number, Buffer>();
  readonly #inFlight = new Map<number, Promise<Buffer | undefined>>();
  #usedBytes = 0;
  #nextOwner = 0;

  constructor(options: { readonly budgetBytes: number }) {
    this.#budgetBytes = options.budgetBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** A base for keys: its owner may use key + 0 .. key + 2^34 - 1. */
  newOwner(): number {
    const owner = this.#nextOwner;
    this.#nextOwner += 2 ** 34;
    return owner;
  }

  get(key: number): Buffer | undefined {
    const block = this.#blocks.get(key);
    if (block !== undefined) {
      this.#blocks.delete(key);
      this.#blocks.set(key, block);
    }
    return block;
  }

  /** Keeps a copy when `block` is a part of something larger, which it would hold in memory. */
  put(key: number, block: Buffer): void {
    const cost = block.length + overheadBytes;
    if (cost > this.#budgetBytes || this.#blocks.has(key)) return;
    this.#blocks.set(key, ownBytes(block));
    this.#usedBytes += cost;
    for (const [oldest, { length }] of this.#blocks) {
      if (this.#usedBytes <= this.#budgetBytes) break;
      this.#blocks.delete(oldest);
      this.#usedBytes -= length + overheadBytes;
    }
  }

  /** The block, read by `read` unless it is here or on its way; `read` gives undefined for one that is not to be kept. */
  load(key: number, read: () => Promise<Buffer | undefined>): Promise<Buffer | undefined> {
    const here = this.get(key);
    if (here !== undefined) return Promise.resolve(here);
    const running = this.#inFlight.get(key);
    if (running !== undefined) return running;
    const reading = this.#readInto(key, read);
    this.#inFlight.set(key, reading);
    return reading;
  }

  async #readInto(key: number, read: () => Promise<Buffer | undefined>): Promise<Buffer | undefined> {
    try {
      const block = await read();
      if (block !== undefined) this.put(key, block);
      return block;
    } finally {
      this.#inFlight.delete(key);
    }
  }
}

function ownBytes(block: Buffer): Buffer {
  if (block.buffer.byteLength <= block.length + overheadBytes) return block;
  const own = Buffer.allocUnsafeSlow(block.length);
  block.copy(own);
  return own;
}
