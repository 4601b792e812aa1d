/**
 * One put of the local driver: temporary file, content, fsync, then the key, then fsync of the key's directory.
 *
 * The fsync of the temporary file comes before its rename: without it a power loss may leave the key with no or half the
 * content. The fsync of the directory comes after: without it the acknowledged key may be gone. New directories are made
 * durable before the key is moved into them (`durable-directories.ts`). The temporary name itself needs no fsync: losing
 * it is what a crash should do.
 *
 * Up to the rename (or link) nothing is visible under the key, whatever fails; the temporary file is removed on failure
 * and on abort. From there on an abort comes too late: the put finishes and succeeds.
 */
import { type FileHandle, link, open, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/base';
import { bodyParts } from '../../blob-body.ts';
import type { BlobBody } from '../../blob-store.ts';
import { type DurableDirectories, parentOf } from './durable-directories.ts';
import { hasErrno, isAbsence, storageCall, toStorageError } from './local-errors.ts';
import type { StoreRoot } from './store-root.ts';
import { newTemporaryName, temporaryFolder } from './temporaries.ts';
import { writeDirect } from './write-direct.ts';

export type PublishRequest = {
  readonly root: StoreRoot;
  readonly directories: DurableDirectories;
  readonly key: string;
  readonly body: BlobBody;
  readonly ifAbsent: boolean;
  readonly signal: AbortSignal | undefined;
};

/** How often a directory may be deleted under a put by others before that counts as a failure. */
const maxAttempts = 8;

/** @throws object_exists, object_key_invalid, storage_full, storage_denied, storage_unreachable, signal.reason */
export async function publishObject(request: PublishRequest): Promise<void> {
  const { root, directories, key, ifAbsent } = request;
  const path = join(root.directory, key);
  const temporary = await writeTemporary(request);
  try {
    request.signal?.throwIfAborted();
    await place({ ...request, path, temporary, move: ifAbsent ? link : rename });
  } catch (error) {
    await unlink(temporary.path).catch(() => undefined);
    throw error;
  }
  if (ifAbsent) await unlink(temporary.path).catch(() => undefined);
  try {
    await directories.syncDurable(parentOf(key));
  } catch (error) {
    // Not known to be durable, so it must not stay visible. (An overwritten object has no old content to go back to.)
    if (ifAbsent) await unlink(path).catch(() => undefined);
    throw error;
  }
}

type Temporary = { readonly path: string; readonly device: number; readonly inode: number };

async function writeTemporary(request: PublishRequest): Promise<Temporary> {
  const doing = `write the object ${request.key}`;
  const path = join(request.root.directory, temporaryFolder, newTemporaryName());
  const file = await openTemporary(request, path, doing);
  try {
    let temporary: Temporary;
    try {
      // Only a body that is one buffer can have begun; it comes as one part.
      let skip = await storageCall(doing, writeDirect(path, request.body));
      let position = 0;
      for await (const part of bodyParts(request.body, request.signal)) {
        const buffers = skip > 0 ? withoutFirst(part, skip) : part;
        position = await writeAll({ file, buffers, position: position + skip, doing });
        skip = 0;
      }
      await storageCall(doing, file.sync());
      const { dev, ino } = await storageCall(doing, file.stat());
      temporary = { path, device: dev, inode: ino };
    } finally {
      // NFS may report a full disk as late as here.
      await storageCall(doing, file.close());
    }
    return temporary;
  } catch (error) {
    await unlink(path).catch(() => undefined);
    throw error;
  }
}

async function openTemporary(request: PublishRequest, path: string, doing: string): Promise<FileHandle> {
  for (let attempt = 1; ; attempt += 1) {
    await request.directories.ensure(temporaryFolder);
    try {
      return await open(path, 'wx', request.root.fileMode);
    } catch (error) {
      if (!hasErrno(error, 'ENOENT') || attempt >= maxAttempts) throw toStorageError(error, doing);
      request.directories.forget(temporaryFolder);
    }
  }
}

/** Answers the position behind what was written. */
async function writeAll(request: {
  readonly file: FileHandle;
  readonly buffers: readonly Buffer[];
  readonly position: number;
  readonly doing: string;
}): Promise<number> {
  const { file, doing } = request;
  let { position } = request;
  let rest = request.buffers.filter((buffer) => buffer.length > 0);
  while (rest.length > 0) {
    const { bytesWritten } = await storageCall(doing, file.writev(rest, position));
    if (bytesWritten === 0) throw new HoldfastError('storage_unreachable', `Could not ${doing}: no byte was taken.`);
    position += bytesWritten;
    rest = withoutFirst(rest, bytesWritten);
  }
  return position;
}

/** What is left after a short write; no bytes are copied. */
function withoutFirst(buffers: readonly Buffer[], count: number): Buffer[] {
  let skip = count;
  let index = 0;
  while (index < buffers.length && skip >= buffers[index]!.length) {
    skip -= buffers[index]!.length;
    index += 1;
  }
  const rest = buffers.slice(index);
  if (skip > 0) rest[0] = rest[0]!.subarray(skip);
  return rest;
}

type PlaceRequest = PublishRequest & {
  readonly path: string;
  readonly temporary: Temporary;
  readonly move: (from: string, to: string) => Promise<void>;
};

/** Gives the finished file its key: rename replaces what is there, link refuses. */
async function place(request: PlaceRequest): Promise<void> {
  const { directories, key, path, temporary } = request;
  for (let attempt = 1; ; attempt += 1) {
    await directories.ensure(parentOf(key));
    try {
      return await request.move(temporary.path, path);
    } catch (error) {
      // An NFS server that repeats a call after a lost answer reports ENOENT or EEXIST about our own success.
      const holder = await stat(path).catch(() => undefined);
      if (holder?.dev === temporary.device && holder.ino === temporary.inode) return;
      if (!isAbsence(error) || attempt >= maxAttempts) throw refusal(request, error, holder?.isDirectory());
      // The last object beside ours was deleted, and its directory with it.
      directories.forget(parentOf(key));
    }
  }
}

/** The error to throw when a finished file may not have its key. */
function refusal(request: PlaceRequest, error: unknown, isFolder: boolean | undefined): unknown {
  const { key } = request;
  if (isFolder) {
    return new HoldfastError('object_key_invalid', `${key} is a folder on this storage.`, {
      cause: error,
      remedy: 'On this storage an object and a folder cannot have the same name.',
    });
  }
  if (request.ifAbsent && hasErrno(error, 'EEXIST')) {
    return new HoldfastError('object_exists', `${key} exists already.`, { facts: { key } });
  }
  if (request.ifAbsent && hasErrno(error, 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EPERM')) {
    return new HoldfastError('storage_contract_broken', `The file system refuses to hard-link ${key}.`, {
      cause: error,
      remedy: 'Use a file system with hard links (ext4, XFS, Btrfs, ZFS, NFS); create-only puts need them.',
    });
  }
  return toStorageError(error, `publish the object ${key}`);
}
