/**
 * A raw disk in a regular file or on a block device, read through Node's thread pool: no copy, no other process on the
 * data path, any byte size (QEMU would round it up to 512).
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { type BlockExtent, type BlockSource, type Extent, HoldfastError, MiB } from '@holdfast/base';
import { contiguousExtents } from '../extent-stream.ts';
import { isWrittenByQemu } from '../qemu/image-lock.ts';
import { mapImage } from '../qemu/map-image.ts';
import { IN_USE_REMEDY } from '../qemu/qemu-errors.ts';
import { diskFileKind, diskFileSizeBytes } from './disk-file.ts';
import { sourceFileError } from './file-errors.ts';

export type FileSource = BlockSource & {
  /**
   * To be called when everything was read: the file still has the size it was opened with, and no virtual machine has
   * started on it.
   * @throws source_changed
   */
  confirmUnchanged(): Promise<void>;
};

/** The pool has four threads; more reads than threads keep them busy while results are handled. */
const FILE_CONCURRENCY = 8;

/** Reading a hole this small takes less time than asking where the holes are (5 ms). */
const NOT_WORTH_A_MAP_BYTES = 16 * MiB;

/** @throws source_not_found, source_unreadable */
export async function openFileSource(options: {
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<FileSource> {
  const { path, signal } = options;
  signal?.throwIfAborted();
  let handle: FileHandle | undefined;
  try {
    // O_NONBLOCK: opening a named pipe by mistake must not wait for a writer.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await handle.stat({ bigint: true });
    refuseUnlessDisk(path, stats);
    if (await isWrittenByQemu(stats)) throw inUse(path);
    const sizeBytes = await diskFileSizeBytes(stats);
    return fileSource({ path, handle, sizeBytes, isRegular: stats.isFile() });
  } catch (error) {
    await handle?.close();
    throw sourceFileError(path, error);
  }
}

function refuseUnlessDisk(path: string, stats: BigIntStats): void {
  const kind = diskFileKind(stats);
  if (kind === 'regular' || kind === 'block-device') return;
  const what = kind === 'directory' ? 'a directory' : 'neither a file nor a block device';
  throw new HoldfastError('source_unreadable', `${path} is ${what}`, {
    remedy: 'Name the image file or the block device itself.',
    facts: { path },
  });
}

function inUse(path: string): HoldfastError {
  return new HoldfastError('source_unreadable', `${path} is being written by another program`, {
    remedy: IN_USE_REMEDY,
    facts: { path },
  });
}

type OpenFile = {
  readonly path: string;
  readonly handle: FileHandle;
  readonly sizeBytes: number;
  readonly isRegular: boolean;
};

function fileSource(file: OpenFile): FileSource {
  let closed: Promise<void> | undefined;
  return {
    sizeBytes: file.sizeBytes,
    concurrency: FILE_CONCURRENCY,
    // A read that has begun cannot be called back: an abort is seen before the next one, `into` is never used afterwards.
    async read({ into, offset, signal }) {
      await readFully({ file, into, offset, signal });
    },
    extents: (range) => fileExtents(file, range),
    async confirmUnchanged() {
      const stats = await file.handle.stat({ bigint: true });
      const nowBytes = await diskFileSizeBytes(stats);
      if (nowBytes !== file.sizeBytes) throw sizeChanged(file, nowBytes);
      if (!(await isWrittenByQemu(stats))) return;
      throw new HoldfastError('source_changed', `${file.path} was taken into use while it was read`, {
        facts: { path: file.path },
      });
    },
    async [Symbol.asyncDispose]() {
      closed ??= file.handle.close();
      await closed;
    },
  };
}

async function readFully(options: {
  readonly file: OpenFile;
  readonly into: Buffer;
  readonly offset: number;
  readonly signal: AbortSignal | undefined;
}): Promise<void> {
  const { file, into, offset, signal } = options;
  let done = 0;
  while (done < into.length) {
    signal?.throwIfAborted();
    let bytesRead: number;
    try {
      ({ bytesRead } = await file.handle.read(into, done, into.length - done, offset + done));
    } catch (error) {
      throw sourceFileError(file.path, error);
    }
    if (bytesRead === 0) throw sizeChanged(file, offset + done);
    done += bytesRead;
  }
}

async function* fileExtents(
  file: OpenFile,
  { signal, ...range }: Extent & { signal?: AbortSignal | undefined },
): AsyncGenerator<BlockExtent, void, undefined> {
  signal?.throwIfAborted();
  if (range.length === 0) return;
  if (!file.isRegular || range.length <= NOT_WORTH_A_MAP_BYTES) {
    yield { ...range, zero: false };
    return;
  }
  // The file that is open here, also when another one has taken its name since.
  const path = `/proc/${process.pid}/fd/${file.handle.fd}`;
  const extents = mapImage({ path, name: file.path, format: 'raw', range, signal });
  yield* contiguousExtents({ range, extents });
}

function sizeChanged(file: OpenFile, nowBytes: number): HoldfastError {
  return new HoldfastError('source_changed', `${file.path} had ${file.sizeBytes} bytes and now ends at ${nowBytes}`, {
    facts: { path: file.path, sizeBytes: file.sizeBytes, nowBytes },
  });
}
