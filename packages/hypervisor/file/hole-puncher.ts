/**
 * Gives ranges of an existing file or device back to its file system. Node has no fallocate; a qemu-storage-daemon
 * punches holes and discards for us (20 ms once, then 0.1 ms a range), and holds QEMU's image lock meanwhile, so that
 * no virtual machine starts on a disk that is being overwritten.
 */
import { type Extent, HoldfastError } from '@holdfast/base';
import { openNbdClient } from '../nbd/client/nbd-client.ts';
import { exportImage } from '../qemu/export-image.ts';

export interface HolePuncher extends AsyncDisposable {
  /** The range, whole sectors of 512 bytes, reads as zeros afterwards. */
  punch(range: Extent & { readonly signal?: AbortSignal | undefined }): Promise<void>;
}

/**
 * Undefined on a machine without QEMU, where no virtual machine could be harmed either: zeros are then written.
 * @throws target_unwritable when another program has the image open
 */
export async function openHolePuncher(options: {
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<HolePuncher | undefined> {
  const { path, signal } = options;
  await using stack = new AsyncDisposableStack();
  try {
    const image = stack.use(await exportImage({ path, format: 'raw', writable: true, signal }));
    const client = stack.use(await openNbdClient({ ...image, contexts: [], connections: 1, signal }));
    const owned = stack.move();
    return {
      punch: (range) => client.writeZeroes(range),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  } catch (error) {
    if (error instanceof HoldfastError && error.facts.program !== undefined) return undefined;
    throw error;
  }
}
