/**
 * Writes past the page cache (O_DIRECT), for disks that are written once and not read again soon: a restore must not push
 * everything else out of the hypervisor's cache, and filling the cache cost it half of its CPU (5 to 7 s of system time
 * for 2.6 GiB, against 1 s so). The kernel wants aligned memory, which Node's buffers are not: pieces in others are
 * copied into slots that are.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { alignmentBytes, BufferSlots, isAligned, MiB, systemErrorCode } from '@holdfast/base';

const SLOT_BYTES = 4 * MiB;
/** Keeps a disk busy; also what is in memory. */
const SLOTS = 4;

export class DirectWriter implements AsyncDisposable {
  readonly #handle: FileHandle;
  #slots: BufferSlots | undefined;
  #refused = false;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Undefined where the file system has no such writes. @param path a regular file that exists */
  static async open(path: string): Promise<DirectWriter | undefined> {
    try {
      return new DirectWriter(await open(path, constants.O_WRONLY | constants.O_DIRECT));
    } catch (error) {
      if (systemErrorCode(error) === 'EINVAL') return undefined;
      throw error;
    }
  }

  /** Whether this writer can take the piece; the others go through the cache. */
  takes(piece: { readonly offset: number; readonly length: number }): boolean {
    const aligned = piece.offset % alignmentBytes === 0 && piece.length % alignmentBytes === 0;
    return !this.#refused && aligned && piece.length > 0 && piece.length <= SLOT_BYTES;
  }

  /** False when the kernel refused the alignment after all: nothing was written, and `takes` says no from now on. */
  async write({ from, offset }: { from: Buffer; offset: number }): Promise<boolean> {
    try {
      if (isAligned(from)) {
        await this.#writeAligned(from, offset);
      } else {
        this.#slots ??= new BufferSlots({ slots: SLOTS, slotBytes: SLOT_BYTES });
        await this.#slots.with(async (slot) => {
          await this.#writeAligned(slot.subarray(0, from.copy(slot)), offset);
        });
      }
      return true;
    } catch (error) {
      if (systemErrorCode(error) !== 'EINVAL') throw error;
      this.#refused = true;
      return false;
    }
  }

  async #writeAligned(from: Buffer, offset: number): Promise<void> {
    for (let done = 0; done < from.length; ) {
      done += (await this.#handle.write(from, done, from.length - done, offset + done)).bytesWritten;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
