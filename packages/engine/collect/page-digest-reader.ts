/**
 * Reads pages of pack tables and keeps their digests only. In memory that is used again: of thousands of pages, each in
 * buffers of its own, the garbage collector let 80 MiB stand (measured with 15 000).
 */
import { BufferSlots, KiB } from '@holdfast/base';
import { type FrameReference, readFrame } from '../pack/frame-reader.ts';
import type { Repository } from '../repository/repository.ts';
import { digestOfPage } from './page-digest.ts';

/** Nearly every page, stored or not, has less; a longer one gets memory of its own. */
const slotBytes = 80 * KiB;

export class PageDigestReader {
  readonly #repository: Repository;
  readonly #slots: BufferSlots;

  /** @param options.atOnce pages being read; calls beyond wait */
  constructor({ repository, atOnce }: { readonly repository: Repository; readonly atOnce: number }) {
    this.#repository = repository;
    this.#slots = new BufferSlots({ slots: atOnce, slotBytes: 2 * slotBytes });
  }

  /** Memory of its own. @throws as `readFrame` */
  async read(reference: FrameReference, signal?: AbortSignal): Promise<Buffer> {
    return await this.#slots.with(async (slot) => {
      const memory = { stored: slot.subarray(0, slotBytes), plain: slot.subarray(slotBytes) };
      return digestOfPage(await readFrame(this.#repository, { kind: 'tablePage', reference, memory, signal }));
    });
  }
}
