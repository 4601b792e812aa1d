/** How an image is named to QEMU's programs when more than its path matters. */
import { stat } from 'node:fs/promises';
import { sourceFileError } from '../file/file-errors.ts';

/** @throws source_not_found, source_unreadable */
export async function fileDriver(path: string): Promise<'file' | 'host_device'> {
  try {
    return (await stat(path)).isBlockDevice() ? 'host_device' : 'file';
  } catch (error) {
    throw sourceFileError(path, error);
  }
}

/**
 * A qcow2 image for `--image-opts`, so that its format is never guessed.
 * @param options.locking off: also while another program writes it; only what that one does not change may be read
 * @throws source_not_found, source_unreadable
 */
export async function qcow2Options(options: {
  readonly path: string;
  readonly locking: 'auto' | 'off';
}): Promise<string> {
  const { path, locking } = options;
  const driver = await fileDriver(path);
  // A comma ends a value, unless it is doubled.
  return `driver=qcow2,file.driver=${driver},file.locking=${locking},file.filename=${path.replaceAll(',', ',,')}`;
}
