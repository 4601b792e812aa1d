/**
 * QEMU reads a truncated qcow2 image as zeros without a word when its tables lie past the end of the file. This looks
 * at the header before QEMU does.
 */
import { open } from 'node:fs/promises';
import { HoldfastError } from '@holdfast/base';
import { sourceFileError } from '../file/file-errors.ts';
import { readUint64 } from '../nbd/protocol.ts';

/** Up to the end of `refcount_table_clusters`, in every version of the format. */
const HEADER_BYTES = 60;

/**
 * The L1 table and the refcount table lie inside the file. That clusters do is left to qemu-img check.
 * @throws source_not_found, source_unreadable
 */
export async function refuseTruncatedQcow2(path: string): Promise<void> {
  try {
    await using handle = await open(path, 'r');
    const { size } = await handle.stat();
    const { buffer: header, bytesRead } = await handle.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    // What is no qcow2 image at all, QEMU says better.
    if (bytesRead === HEADER_BYTES && tablesEnd(header) <= size) return;
    if (bytesRead < HEADER_BYTES || header.readUInt32BE(0) !== 0x514649fb) return;
  } catch (error) {
    throw sourceFileError(path, error);
  }
  throw new HoldfastError('source_unreadable', `${path} was cut off: its tables lie past its end`, { facts: { path } });
}

function tablesEnd(header: Buffer): number {
  const l1Entries = header.readUInt32BE(36);
  const l1Offset = readUint64(header, 40) ?? Number.POSITIVE_INFINITY;
  const refcountOffset = readUint64(header, 48) ?? Number.POSITIVE_INFINITY;
  // The refcount table may end with the last entry in use, so only its beginning is asked for.
  return Math.max(l1Offset + l1Entries * 8, refcountOffset + 8);
}
