/** A qcow2 image (with its backing files) as a disk to read: a qemu-storage-daemon opens it, we read over NBD. */
import { type NbdSource, openNbdSource } from '../nbd/nbd-source.ts';
import { exportImage } from '../qemu/export-image.ts';
import { refuseTruncatedQcow2 } from './truncation.ts';

/** @throws source_not_found, source_unreadable, bitmap_not_found, bitmap_inconsistent, nbd_failed, qemu_failed */
export async function openQcow2Source(options: {
  readonly path: string;
  readonly bitmap?: string | undefined;
  /** See exportImage. */
  readonly isUnlocked?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<NbdSource> {
  const { path, bitmap, isUnlocked, signal } = options;
  await refuseTruncatedQcow2(path);
  await using stack = new AsyncDisposableStack();
  const image = stack.use(await exportImage({ path, format: 'qcow2', writable: false, bitmap, isUnlocked, signal }));
  const { address, exportName } = image;
  const source = stack.use(await openNbdSource({ address, exportName, bitmap, signal }));
  const owned = stack.move();
  return { ...source, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
