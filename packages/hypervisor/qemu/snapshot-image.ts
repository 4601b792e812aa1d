/**
 * `qemu-img snapshot` and what belongs to it. Each takes QEMU's lock: an image that another program has open is refused
 * with volume_busy. A call that is killed leaves the image as it was, or with clusters that nobody refers to
 * (`qemu-img check -r leaks`).
 */
import { qcow2Options } from './image-options.ts';
import { runQemuImg } from './qemu-img.ts';

type ImageCall = { readonly path: string; readonly signal?: AbortSignal | undefined };

/** @throws volume_busy, target_full, source_not_found, source_unreadable, qemu_failed */
export async function createImageSnapshot(options: ImageCall & { readonly name: string }): Promise<void> {
  const { path, name, signal } = options;
  await change({ path, words: ['snapshot', '-c', name], doing: `take the snapshot ${name} of ${path}`, signal });
}

/** The first of this name. @throws volume_busy, source_not_found, source_unreadable, qemu_failed */
export async function deleteImageSnapshot(options: ImageCall & { readonly name: string }): Promise<void> {
  const { path, name, signal } = options;
  await change({ path, words: ['snapshot', '-d', name], doing: `delete the snapshot ${name} of ${path}`, signal });
}

/**
 * The disk becomes what it was at the snapshot with this id (QEMU looks for ids before names). Bitmaps must be gone.
 * @throws volume_busy, target_full, source_not_found, source_unreadable, qemu_failed
 */
export async function applyImageSnapshot(options: ImageCall & { readonly id: string }): Promise<void> {
  const { path, id, signal } = options;
  await change({ path, words: ['snapshot', '-a', id], doing: `revert ${path} to snapshot ${id}`, signal });
}

/** @throws volume_busy, source_not_found, source_unreadable, qemu_failed */
export async function removeImageBitmap(options: ImageCall & { readonly name: string }): Promise<void> {
  const { path, name, signal } = options;
  const image = await qcow2Options({ path, locking: 'auto' });
  await runQemuImg({
    args: ['bitmap', '--remove', '--image-opts', image, name],
    doing: `remove the bitmap ${name} of ${path}`,
    role: 'volume',
    signal,
  });
}

async function change(
  options: ImageCall & { readonly words: readonly string[]; readonly doing: string },
): Promise<void> {
  const { path, words, doing, signal } = options;
  const image = await qcow2Options({ path, locking: 'auto' });
  await runQemuImg({ args: [...words, '--image-opts', image], doing, role: 'volume', signal });
}
