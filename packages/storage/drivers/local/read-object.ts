/**
 * Reading of the local driver: open, read, close for each call. Kept descriptors were measured and left out: 16 reads of
 * 1 MiB at once take 193 us each instead of 188, of 4 MiB 0.79 ms instead of 0.82, and a kept descriptor would go on
 * giving an object that another process has deleted or replaced.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/base';
import type { ByteRange } from '../../blob-store.ts';
import { assertRange, resolveRange } from '../../byte-range.ts';
import { hasErrno, isAbsence, toStorageError } from './local-errors.ts';
import { assertSameRoot, type StoreRoot } from './store-root.ts';

export type ReadRequest = {
  readonly root: StoreRoot;
  readonly key: string;
  readonly range: ByteRange | undefined;
  readonly into: Buffer | undefined;
  readonly signal: AbortSignal | undefined;
};

/** Up to here a buffer is made for the length asked for, without asking for the object's size first. */
const trustedLengthBytes = 16 * 1024 * 1024;
/** One read call takes no more than 2 GiB. */
const maxReadBytes = 1024 * 1024 * 1024;

/** @throws object_not_found, storage_denied, storage_unreachable, signal.reason */
export async function readObject(request: ReadRequest): Promise<Buffer> {
  const { root, key, range, into, signal } = request;
  const doing = `read the object ${key}`;
  if (range) assertRange(range);
  try {
    await using file = await open(join(root.directory, key), 'r');
    const { start, end } =
      range && range.offset >= 0 && range.length <= trustedLengthBytes
        ? { start: range.offset, end: range.offset + range.length }
        : resolveRange(range, (await file.stat()).size);
    return await readFully({ file, start, end, into, signal });
  } catch (error) {
    // A folder opens like a file and fails at the read.
    if (!isAbsence(error) && !hasErrno(error, 'EISDIR')) throw toStorageError(error, doing);
    await assertSameRoot(root);
    throw new HoldfastError('object_not_found', `There is no object ${key}.`, { facts: { key } });
  }
}

/** Short reads go on until the range is full or the file ends; objects never grow, so the end is the end. */
async function readFully(request: {
  readonly file: FileHandle;
  readonly start: number;
  readonly end: number;
  readonly into: Buffer | undefined;
  readonly signal: AbortSignal | undefined;
}): Promise<Buffer> {
  const { file, start, end, signal } = request;
  const wanted = end - start;
  // Not from the shared pool: callers keep and transfer these.
  const into =
    request.into && request.into.length >= wanted ? request.into.subarray(0, wanted) : Buffer.allocUnsafeSlow(wanted);
  let filled = 0;
  while (filled < into.length) {
    signal?.throwIfAborted();
    const length = Math.min(into.length - filled, maxReadBytes);
    const { bytesRead } = await file.read(into, filled, length, start + filled);
    if (bytesRead === 0) return into.subarray(0, filled);
    filled += bytesRead;
  }
  return into;
}
