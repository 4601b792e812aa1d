/** A memory disk to be written by the code under test; keeps to what a target says of itself and counts. */
import type { BlockTarget, Extent } from '@holdfast/base';
import type { MemoryDisk } from './memory-disk.ts';

export type MemoryTargetOptions = {
  readonly disk: MemoryDisk;
  /** What the target claims; the caller sees to it that a fresh one is empty. */
  readonly fresh: boolean;
};

type Request = { readonly offset: number; readonly signal?: AbortSignal | undefined };

export class MemoryTarget implements BlockTarget {
  readonly concurrency = 4;
  readonly fresh: boolean;
  readonly #disk: MemoryDisk;
  #writtenBytes = 0;
  #zeroedBytes = 0;
  #isFlushed = true;

  constructor(options: MemoryTargetOptions) {
    this.fresh = options.fresh;
    this.#disk = options.disk;
  }

  get sizeBytes(): number {
    return this.#disk.sizeBytes;
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  get zeroedBytes(): number {
    return this.#zeroedBytes;
  }

  /** Nothing was written since the last flush. */
  get isFlushed(): boolean {
    return this.#isFlushed;
  }

  async read({ into, offset, signal }: Request & { readonly into: Buffer }): Promise<void> {
    signal?.throwIfAborted();
    this.#disk.read(into, offset);
  }

  async write({ from, offset, signal }: Request & { readonly from: Buffer }): Promise<void> {
    signal?.throwIfAborted();
    this.#isFlushed = false;
    this.#writtenBytes += from.length;
    this.#disk.write(from, offset);
  }

  async zero({ offset, length, signal }: Request & Extent): Promise<void> {
    signal?.throwIfAborted();
    this.#isFlushed = false;
    this.#zeroedBytes += length;
    this.#disk.zero({ offset, length });
  }

  async flush(): Promise<void> {
    this.#isFlushed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
