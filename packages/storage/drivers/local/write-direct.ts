/**
 * The large part of a large object goes past the page cache: packs are written once and read seldom, and must not push
 * out what the machine beside us needs; filling the cache cost a full backup 1 to 2.5 of its 8 to 10 s of CPU as measured.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { alignmentBytes, MiB } from '@holdfast/base';
import type { BlobBody } from '../../blob-store.ts';
import { hasErrno } from './local-errors.ts';

const worthwhileBytes = MiB;
const pieceBytes = 4 * MiB;

/**
 * Writes a beginning of the body to the file, which exists and is empty, and answers how many bytes that was: 0 for a
 * small or streamed body, for memory that is not aligned, and on file systems without direct writes.
 * @throws system errors
 */
export async function writeDirect(path: string, body: BlobBody): Promise<number> {
  const buffer = 'buffers' in body && body.buffers.length === 1 ? body.buffers[0]! : undefined;
  const length = buffer ? buffer.length - (buffer.length % alignmentBytes) : 0;
  if (!buffer || length < worthwhileBytes) return 0;
  let done = 0;
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_WRONLY | constants.O_DIRECT);
    while (done < length) {
      const { bytesWritten } = await file.write(buffer, done, Math.min(pieceBytes, length - done), done);
      done += bytesWritten;
      // A short write that is not aligned cannot be gone on with here.
      if (bytesWritten === 0 || bytesWritten % alignmentBytes !== 0) break;
    }
  } catch (error) {
    if (!hasErrno(error, 'EINVAL')) throw error;
  } finally {
    await file?.close();
  }
  return done;
}
