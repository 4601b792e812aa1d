/** `qemu-img create` of an empty qcow2 image. */
import { runQemuImg } from './qemu-img.ts';

/**
 * The file at `path` becomes an empty qcow2 image, whatever it was. Nothing is preallocated.
 * @throws target_full, target_unwritable (also: in use), qemu_failed
 */
export async function createQcow2(options: {
  readonly path: string;
  /** Whole sectors of 512 bytes. */
  readonly sizeBytes: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { path, sizeBytes, signal } = options;
  await runQemuImg({
    args: ['create', '-q', '-f', 'qcow2', '-o', 'preallocation=off', `file:${path}`, String(sizeBytes)],
    doing: `create ${path}`,
    role: 'target',
    signal,
  });
}
