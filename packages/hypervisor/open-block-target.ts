/** Opens or creates any disk that can be named, for writing. */
import type { BlockTarget } from '@holdfast/base';
import type { BlockLocation } from './block-location.ts';
import { openFileTarget } from './file/file-target.ts';
import type { ImageFormat } from './image-format.ts';
import { openNbdTarget } from './nbd/nbd-target.ts';
import { openQcow2Target } from './qcow2/qcow2-target.ts';

/**
 * The target holds at least `sizeBytes`; a new one is `fresh`, an existing one (and everything behind NBD) is not.
 * Disposed without a flush, a target that was created here is removed again.
 * @throws target_exists, target_unwritable, target_full, target_too_small, incompatible_target, nbd_failed, qemu_failed
 */
export async function openBlockTarget(options: {
  readonly location: BlockLocation;
  /** Of a file; without meaning for NBD. */
  readonly format: ImageFormat;
  readonly sizeBytes: number;
  readonly overwrite: boolean;
  readonly signal?: AbortSignal | undefined;
}): Promise<BlockTarget> {
  const { location, format, sizeBytes, overwrite, signal } = options;
  switch (location.kind) {
    case 'file':
      if (format === 'qcow2') return await openQcow2Target({ path: location.path, sizeBytes, overwrite, signal });
      return await openFileTarget({ path: location.path, sizeBytes, overwrite, signal });
    case 'nbd': {
      const { address, exportName } = location;
      return await openNbdTarget({ address, exportName, sizeBytes, signal });
    }
    default:
      return location satisfies never;
  }
}
