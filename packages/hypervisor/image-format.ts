/** What an image file is, told by its first bytes. */
import { open } from 'node:fs/promises';
import { sourceFileError } from './file/file-errors.ts';

export type ImageFormat = 'raw' | 'qcow2';

/**
 * `qcow2` for a regular file with QEMU's magic, else `raw`. A guest can write that magic into a raw disk, so whoever
 * knows the format says so.
 * @throws source_not_found, source_unreadable
 */
export async function detectImageFormat(path: string): Promise<ImageFormat> {
  try {
    await using handle = await open(path, 'r');
    const stats = await handle.stat();
    if (!stats.isFile()) return 'raw';
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    return bytesRead === 4 && buffer.readUInt32BE(0) === 0x514649fb ? 'qcow2' : 'raw';
  } catch (error) {
    throw sourceFileError(path, error);
  }
}
