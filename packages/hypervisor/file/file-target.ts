/**
 * A raw disk to be written: a new sparse file, or an existing file or block device in place.
 *
 * A failed restore must not pass for a good one. A new file carries mode 0200 until its first `flush`, so that no QEMU
 * of libvirt can open it after a crash, and is removed when it is disposed without a flush. What existed before is
 * never removed; written half, it is neither the old nor the new disk, and the caller says so. What a crash left marked stays
 * marked until the flush of the restore that takes it up again.
 */
import { type BigIntStats, constants } from 'node:fs';
import { chmod, type FileHandle, open, stat, unlink } from 'node:fs/promises';
import { type BlockTarget, formatBytes, HoldfastError, MiB, systemErrorCode } from '@holdfast/base';
import { isWrittenByQemu } from '../qemu/image-lock.ts';
import { IN_USE_REMEDY } from '../qemu/qemu-errors.ts';
import { diskFileKind, diskFileSizeBytes } from './disk-file.ts';
import { targetFileError } from './file-errors.ts';
import { DirectWriter } from './direct-writer.ts';
import { FileWriter } from './file-writer.ts';
import { type HolePuncher, openHolePuncher } from './hole-puncher.ts';
import { SpaceReserver } from './space-reserver.ts';
import { FINISHED_MODE, isMarkedUnfinished, openToOwner, UNFINISHED_MODE } from './unfinished.ts';

/** As many as the thread pool runs at once, and some to follow. */
const FILE_CONCURRENCY = 8;

const zeros = Buffer.alloc(MiB);

export type FileTargetOptions = {
  readonly path: string;
  /** Exact size of a regular file; the least size of a block device. */
  readonly sizeBytes: number;
  /** Take what exists: it is written in place (`fresh` false), a regular file gets exactly `sizeBytes`. */
  readonly overwrite: boolean;
  readonly signal?: AbortSignal | undefined;
};

/** @throws target_exists, target_unwritable, target_too_small, incompatible_target, target_full */
export async function openFileTarget(options: FileTargetOptions): Promise<BlockTarget> {
  options.signal?.throwIfAborted();
  try {
    return await createFile(options);
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw targetFileError(options.path, error);
    if (!options.overwrite) {
      throw new HoldfastError('target_exists', `${options.path} exists already`, { facts: { path: options.path } });
    }
  }
  try {
    return await openExisting(options);
  } catch (error) {
    throw targetFileError(options.path, error);
  }
}

async function createFile({ path, sizeBytes }: FileTargetOptions): Promise<BlockTarget> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, UNFINISHED_MODE);
  try {
    await handle.truncate(sizeBytes);
    const direct = await DirectWriter.open(path);
    return fileTarget({
      path,
      handle,
      direct,
      reserver: direct && new SpaceReserver(handle),
      writer: new FileWriter(handle, direct),
      sizeBytes,
      fresh: true,
      isUnfinished: true,
    });
  } catch (error) {
    await handle.close();
    await unlink(path);
    throw error;
  }
}

/** What a crash left behind may be taken up again by its owner; it stays marked until it is whole. */
async function openExisting(options: FileTargetOptions): Promise<BlockTarget> {
  const { path } = options;
  const isUnfinished = isMarkedUnfinished(await stat(path));
  if (!isUnfinished) return await openInPlace({ ...options, isUnfinished });
  await openToOwner(path);
  try {
    return await openInPlace({ ...options, isUnfinished });
  } finally {
    await chmod(path, UNFINISHED_MODE);
  }
}

async function openInPlace(options: FileTargetOptions & { readonly isUnfinished: boolean }): Promise<BlockTarget> {
  const { path, sizeBytes, isUnfinished, signal } = options;
  const handle = await open(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const stats = await handle.stat({ bigint: true });
    refuseUnlessDisk(path, stats);
    const nowBytes = await diskFileSizeBytes(stats);
    if (stats.isBlockDevice() && nowBytes < sizeBytes) throw tooSmall({ path, nowBytes, sizeBytes });
    if (await isWrittenByQemu(stats)) {
      throw new HoldfastError('target_unwritable', `${path} is being written by another program`, {
        remedy: IN_USE_REMEDY,
        facts: { path },
      });
    }
    let puncher = await openHolePuncher({ path, signal });
    if (stats.isFile() && nowBytes !== sizeBytes) {
      // Only now it is known that nobody else uses the file. QEMU learns a size when it opens.
      await puncher?.[Symbol.asyncDispose]();
      await handle.truncate(sizeBytes);
      puncher = await openHolePuncher({ path, signal });
    }
    const writer = new FileWriter(handle);
    return fileTarget({
      path,
      handle,
      writer,
      sizeBytes: stats.isFile() ? sizeBytes : nowBytes,
      fresh: false,
      isUnfinished,
      puncher,
    });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function refuseUnlessDisk(path: string, stats: BigIntStats): void {
  const kind = diskFileKind(stats);
  if (kind === 'regular' || kind === 'block-device') return;
  throw new HoldfastError('incompatible_target', `${path} is neither a file nor a block device`, { facts: { path } });
}

function tooSmall(at: { path: string; nowBytes: number; sizeBytes: number }): HoldfastError {
  return new HoldfastError(
    'target_too_small',
    `${at.path} has ${formatBytes(at.nowBytes)} (${at.nowBytes} bytes), the disk needs ${at.sizeBytes} bytes`,
    { facts: at },
  );
}

type OpenTarget = {
  readonly path: string;
  readonly handle: FileHandle;
  readonly writer: FileWriter;
  readonly direct?: DirectWriter | undefined;
  /** Only direct writes gain by it. */
  readonly reserver?: SpaceReserver | undefined;
  readonly sizeBytes: number;
  readonly fresh: boolean;
  readonly isUnfinished: boolean;
  readonly puncher?: HolePuncher | undefined;
};

function fileTarget(target: OpenTarget): BlockTarget {
  const { path, handle, sizeBytes, fresh, writer } = target;
  let unfinished = target.isUnfinished;
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await target.puncher?.[Symbol.asyncDispose]();
    await target.reserver?.[Symbol.asyncDispose]();
    await writer.settle();
    await target.direct?.[Symbol.asyncDispose]();
    await handle.close();
    if (unfinished && fresh) await unlink(path);
  };
  return {
    sizeBytes,
    concurrency: FILE_CONCURRENCY,
    fresh,
    reserve(ranges) {
      target.reserver?.reserve(ranges);
    },
    // Neither a read nor a write that has begun can be called back: an abort is seen before the next one.
    async read({ into, offset, signal }) {
      await readFully({ target, into, offset, signal });
    },
    async write({ from, offset, signal }) {
      await writeFully({ target, from, offset, signal });
    },
    async zero({ offset, length, signal }) {
      await zeroRange({ target, offset, length, signal });
    },
    async flush() {
      try {
        await writer.settle();
        await handle.datasync();
        if (!unfinished) return;
        await chmod(path, FINISHED_MODE);
        unfinished = false;
        await handle.sync();
      } catch (error) {
        throw targetFileError(path, error);
      }
    },
    async [Symbol.asyncDispose]() {
      closed ??= close();
      await closed;
    },
  };
}

type RangeOptions = { readonly target: OpenTarget; readonly offset: number; readonly signal: AbortSignal | undefined };

async function readFully({ target, into, offset, signal }: RangeOptions & { readonly into: Buffer }): Promise<void> {
  let done = 0;
  while (done < into.length) {
    signal?.throwIfAborted();
    const { bytesRead } = await target.handle.read(into, done, into.length - done, offset + done).catch((error) => {
      throw targetFileError(target.path, error);
    });
    if (bytesRead === 0) {
      throw new HoldfastError('target_unwritable', `${target.path} ends at ${offset + done} while it is written`);
    }
    done += bytesRead;
  }
}

async function writeFully({ target, from, offset, signal }: RangeOptions & { readonly from: Buffer }): Promise<void> {
  if (offset < 0 || offset + from.length > target.sizeBytes) {
    throw new HoldfastError('internal', `write of ${from.length} bytes at ${offset} outside ${target.path}`);
  }
  try {
    await target.writer.write({ from, offset, signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw targetFileError(target.path, error);
  }
}

/** Punches what is whole in sectors, writes the ragged ends (and everything, where nothing can punch). */
async function zeroRange(range: RangeOptions & { readonly length: number }): Promise<void> {
  const { target, signal } = range;
  const end = range.offset + range.length;
  let position = range.offset;
  if (target.puncher) {
    const from = Math.ceil(range.offset / 512) * 512;
    const to = Math.floor(end / 512) * 512;
    if (from < to) {
      await writeZeros(range, from);
      await target.puncher.punch({ offset: from, length: to - from, signal });
      position = to;
    }
  }
  await writeZeros({ ...range, offset: position }, end);
}

async function writeZeros({ target, offset, signal }: RangeOptions, end: number): Promise<void> {
  for (let position = offset; position < end; position += zeros.length) {
    const from = zeros.subarray(0, Math.min(zeros.length, end - position));
    await writeFully({ target, from, offset: position, signal });
  }
}
