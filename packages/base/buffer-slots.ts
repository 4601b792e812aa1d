/** A fixed number of equal buffers, aligned for direct writes, that are used again and again: memory is bounded and warm. */
import { alignedBuffer, alignmentBytes } from './aligned-buffer.ts';

export class BufferSlots {
  readonly #idle: Buffer[];
  readonly #waiting: ((slot: Buffer) => void)[] = [];

  /** @param options.slotBytes rounded up to the alignment */
  constructor(options: { readonly slots: number; readonly slotBytes: number }) {
    const slotBytes = Math.ceil(options.slotBytes / alignmentBytes) * alignmentBytes;
    const memory = alignedBuffer(options.slots * slotBytes);
    this.#idle = Array.from({ length: options.slots }, (_, slot) =>
      memory.subarray(slot * slotBytes, (slot + 1) * slotBytes),
    );
  }

  /** Lends a slot for the time of `use`; waits while all are lent. Nothing may keep it beyond. */
  async with<Result>(use: (slot: Buffer) => Promise<Result>): Promise<Result> {
    const slot = this.#idle.pop() ?? (await new Promise<Buffer>((resolve) => this.#waiting.push(resolve)));
    try {
      return await use(slot);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(slot);
      else this.#idle.push(slot);
    }
  }
}
