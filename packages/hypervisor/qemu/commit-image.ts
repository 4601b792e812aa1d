/** `qemu-img commit` and `rebase`: layers of a disk that no machine uses. Each takes QEMU's lock. */
import { qcow2Options } from './image-options.ts';
import { addImageBitmap, listImageBitmaps } from './image-bitmaps.ts';
import { qemuImgLines, runQemuImg } from './qemu-img.ts';

type ImageCall = { readonly path: string; readonly signal?: AbortSignal | undefined };

/**
 * Writes what the image holds into the one below it, and changes nothing in the image itself: after a kill or a failure the disk
 * is read through it as before, and the call can be made again.
 * @throws volume_busy, target_full, source_not_found, source_unreadable, qemu_failed
 */
export async function commitImage(
  options: ImageCall & { readonly onProgress?: ((percent: number) => void) | undefined },
): Promise<void> {
  const { path, onProgress, signal } = options;
  const image = await qcow2Options({ path, locking: 'auto' });
  const args = ['commit', '-p', '-d', '--image-opts', image];
  for await (const line of qemuImgLines({ args, doing: `commit ${path}`, role: 'volume', signal })) {
    const percent = /\((\d+\.\d+)\/100%\)/.exec(line)?.[1];
    if (percent !== undefined) onProgress?.(Number(percent));
  }
}

/** The image reads through `below` from now on, which must hold what was below it before. @throws as commitImage */
export async function rebaseImage(options: ImageCall & { readonly below: string }): Promise<void> {
  const { path, below, signal } = options;
  const image = await qcow2Options({ path, locking: 'auto' });
  await runQemuImg({
    args: ['rebase', '-u', '-b', below, '-F', 'qcow2', '--image-opts', image],
    doing: `put ${path} on ${below}`,
    role: 'volume',
    signal,
  });
}

/**
 * What the bitmaps of a committed image have noted, the bitmaps of the image below have noted too. One that is inconsistent
 * stays behind: the next backup reads in full.
 * @throws volume_busy, target_full, qemu_failed
 */
export async function carryBitmaps(options: ImageCall & { readonly into: string }): Promise<void> {
  const { path, into, signal } = options;
  const there = await listImageBitmaps({ path: into, signal });
  for (const { name, isInconsistent } of await listImageBitmaps({ path, signal })) {
    const same = there.find((bitmap) => bitmap.name === name);
    if (isInconsistent || same?.isInconsistent) continue;
    if (!same) await addImageBitmap({ path: into, name, signal });
    await runQemuImg({
      args: ['bitmap', '--merge', name, '-b', `file:${path}`, '-F', 'qcow2', '-f', 'qcow2', `file:${into}`, name],
      doing: `merge the bitmap ${name} into ${into}`,
      role: 'volume',
      signal,
    });
  }
}
