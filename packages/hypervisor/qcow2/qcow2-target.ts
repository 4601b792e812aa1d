/**
 * A qcow2 image to be written, through a qemu-storage-daemon. As with raw files, a new image carries mode 0200 until
 * its first flush and is removed when it is disposed without one; see file-target.ts.
 */
import { constants } from 'node:fs';
import { chmod, open, stat, unlink } from 'node:fs/promises';
import { type BlockTarget, HoldfastError, systemErrorCode } from '@holdfast/base';
import { targetFileError } from '../file/file-errors.ts';
import { FINISHED_MODE, isMarkedUnfinished, openToOwner, UNFINISHED_MODE } from '../file/unfinished.ts';
import { detectImageFormat } from '../image-format.ts';
import { openNbdTarget } from '../nbd/nbd-target.ts';
import { createQcow2 } from '../qemu/create-image.ts';
import { exportImage } from '../qemu/export-image.ts';
import { readImageInfo } from '../qemu/image-info.ts';
import { isSoundAfterRepair } from '../qemu/repair-image.ts';

export type Qcow2TargetOptions = {
  readonly path: string;
  readonly sizeBytes: number;
  /**
   * Take what exists: a qcow2 image of the same size is written in place, with its snapshots and bitmaps; anything
   * else becomes a new image.
   */
  readonly overwrite: boolean;
  readonly signal?: AbortSignal | undefined;
};

/** The size is rounded up to whole sectors of 512 bytes, as QEMU does. @throws as openBlockTarget */
export async function openQcow2Target(options: Qcow2TargetOptions): Promise<BlockTarget> {
  const { path, signal } = options;
  const sizeBytes = Math.ceil(options.sizeBytes / 512) * 512;
  signal?.throwIfAborted();
  const isNew = await createEmptyFile(path).catch((error: unknown) => {
    throw targetFileError(path, error);
  });
  if (!isNew && !options.overwrite) {
    throw new HoldfastError('target_exists', `${path} exists already`, { facts: { path } });
  }
  try {
    // What a crash left behind stays marked until it is whole.
    const isUnfinished = isMarkedUnfinished(await stat(path));
    if (isUnfinished) await openToOwner(path);
    const inPlace =
      !isNew &&
      (await isQcow2Of({ path, sizeBytes, signal })) &&
      (!isUnfinished || (await isSoundAfterRepair({ path, signal })));
    if (!inPlace) await createQcow2({ path, sizeBytes, signal });
    return await openCreated({ path, sizeBytes, isNew, isUnfinished, fresh: !inPlace, signal });
  } catch (error) {
    if (isNew) await unlink(path);
    throw error;
  }
}

/** False when there is something at the path already: qemu-img would overwrite it. */
async function createEmptyFile(path: string): Promise<boolean> {
  try {
    const handle = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, UNFINISHED_MODE);
    await handle.close();
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

async function isQcow2Of(options: {
  readonly path: string;
  readonly sizeBytes: number;
  readonly signal: AbortSignal | undefined;
}): Promise<boolean> {
  const { path, sizeBytes, signal } = options;
  const stats = await stat(path);
  if (!stats.isFile()) {
    throw new HoldfastError('incompatible_target', `${path} is no regular file; a qcow2 image needs one`, {
      facts: { path },
    });
  }
  if ((await detectImageFormat(path)) !== 'qcow2') return false;
  const { virtualSizeBytes } = await readImageInfo({ path, format: 'qcow2', role: 'target', signal });
  return virtualSizeBytes === sizeBytes;
}

async function openCreated(options: {
  readonly path: string;
  readonly sizeBytes: number;
  readonly isNew: boolean;
  readonly isUnfinished: boolean;
  readonly fresh: boolean;
  readonly signal: AbortSignal | undefined;
}): Promise<BlockTarget> {
  const { path, sizeBytes, isNew, isUnfinished, fresh, signal } = options;
  await using stack = new AsyncDisposableStack();
  const image = stack.use(await exportImage({ path, format: 'qcow2', writable: true, signal }));
  const { address, exportName } = image;
  const target = stack.use(await openNbdTarget({ address, exportName, sizeBytes, signal }));
  if (isUnfinished) await chmod(path, UNFINISHED_MODE);
  const owned = stack.move();
  let unfinished = isUnfinished;
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await target[Symbol.asyncDispose]();
    const goes = isNew && unfinished;
    if (!goes) await image.close();
    await owned.disposeAsync();
    if (goes) await unlink(path);
  };
  return {
    ...target,
    fresh,
    async flush() {
      await target.flush();
      if (unfinished) await chmod(path, FINISHED_MODE);
      unfinished = false;
    },
    async [Symbol.asyncDispose]() {
      closed ??= close();
      await closed;
    },
  };
}
