/** A memory disk to be read by the code under test: counts, and can be told to do harm at a given read. */
import type { BlockExtent, BlockSource, Extent } from '@holdfast/base';
import type { MemoryDisk } from './memory-disk.ts';

export type MemorySourceOptions = {
  readonly disk: MemoryDisk;
  readonly concurrency?: number;
  /** False: one extent that is not zero, as a source that cannot tell. */
  readonly tellsHoles?: boolean;
  /** Called before each read, which fails when this throws; `read` counts from 1. */
  readonly onRead?: (request: { readonly read: number; readonly offset: number }) => Promise<void> | void;
};

export class MemorySource implements BlockSource {
  readonly concurrency: number;
  readonly #options: MemorySourceOptions;
  #reads = 0;
  #readBytes = 0;
  #extentCalls = 0;

  constructor(options: MemorySourceOptions) {
    this.concurrency = options.concurrency ?? 4;
    this.#options = options;
  }

  get sizeBytes(): number {
    return this.#options.disk.sizeBytes;
  }

  get reads(): number {
    return this.#reads;
  }

  get readBytes(): number {
    return this.#readBytes;
  }

  get extentCalls(): number {
    return this.#extentCalls;
  }

  async read(request: { into: Buffer; offset: number; signal?: AbortSignal | undefined }): Promise<void> {
    const { into, offset, signal } = request;
    signal?.throwIfAborted();
    this.#reads += 1;
    this.#readBytes += into.length;
    await this.#options.onRead?.({ read: this.#reads, offset });
    this.#options.disk.read(into, offset);
  }

  async *extents(range: Extent & { signal?: AbortSignal | undefined }): AsyncGenerator<BlockExtent> {
    range.signal?.throwIfAborted();
    this.#extentCalls += 1;
    const { offset, length } = range;
    if (this.#options.tellsHoles ?? true) yield* this.#options.disk.extents({ offset, length });
    else if (length > 0) yield { offset, length, zero: false };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
