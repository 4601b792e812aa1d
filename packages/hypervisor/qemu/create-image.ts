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

/**
 * The file at `path` becomes an empty overlay on a qcow2 image, with clusters of the same size; that image is not looked at and may
 * be in use. @throws target_full, target_unwritable, qemu_failed
 */
export async function createOverlay(options: {
  readonly path: string;
  readonly below: string;
  readonly sizeBytes: number;
  readonly clusterBytes: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { path, below, sizeBytes, clusterBytes, signal } = options;
  const form = ['-f', 'qcow2', '-o', `cluster_size=${clusterBytes}`, '-u', '-b', below, '-F', 'qcow2'];
  await runQemuImg({
    args: ['create', '-q', ...form, `file:${path}`, String(sizeBytes)],
    doing: `create ${path}`,
    role: 'target',
    signal,
  });
}
