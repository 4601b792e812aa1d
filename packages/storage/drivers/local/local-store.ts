/**
 * The storage driver for a directory: local disks and NFS mounts.
 *
 * Objects are files under their key; a put is a temporary file in `.tmp`, fsync, rename (link for create-only), fsync of
 * the directory (`publish-object.ts`, `durable-directories.ts` say what each fsync protects). Directories that become
 * empty are removed. On NFS mount with the default `cto`; another host's new objects are then in every later list.
 */
import { rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { MiB } from '@holdfast/base';
import type { BlobBody, BlobInfo, BlobStore, CallOptions, GetOptions, StorageCapabilities } from '../../blob-store.ts';
import { assertKeyPrefix, assertObjectKey } from '../../object-key.ts';
import { DurableDirectories, parentOf } from './durable-directories.ts';
import { listObjects, objectInfo } from './list-objects.ts';
import { hasErrno, isAbsence, toStorageError } from './local-errors.ts';
import { publishObject } from './publish-object.ts';
import { readObject } from './read-object.ts';
import { assertSameRoot, openRoot, type StoreRoot } from './store-root.ts';
import { sweepTemporaries } from './temporaries.ts';

export type LocalStoreOptions = {
  /** Absolute path. */
  readonly directory: string;
  /** Make the directory, and those above it, when missing. */
  readonly create?: boolean;
};

export class LocalStore implements BlobStore {
  readonly capabilities: StorageCapabilities = {
    createOnlyPut: true,
    listAfterWrite: true,
    durableAcknowledgement: true,
    objectLock: false,
    serverChecksum: false,
    // Calls beyond the thread pool's size only queue; 16 keeps the pool busy with room for a slow disk.
    maxConnections: 16,
    preferredPackBytes: 32 * MiB,
  };
  readonly #root: StoreRoot;
  readonly #directories: DurableDirectories;

  private constructor(root: StoreRoot) {
    this.#root = root;
    this.#directories = new DurableDirectories(root);
  }

  /**
   * Writes nothing but the directory itself (with `create`), so a read-only mount opens too. Leftovers in `.tmp` of
   * writers that are dead are removed, as far as this user may.
   * @throws storage_unreachable when the directory does not exist, storage_denied
   */
  static async open(options: LocalStoreOptions): Promise<LocalStore> {
    const root = await openRoot({ directory: options.directory, create: options.create ?? false });
    await sweepTemporaries(root);
    return new LocalStore(root);
  }

  async put(key: string, body: BlobBody, options: CallOptions & { readonly ifAbsent?: boolean } = {}): Promise<void> {
    assertObjectKey(key);
    options.signal?.throwIfAborted();
    await publishObject({
      root: this.#root,
      directories: this.#directories,
      key,
      body,
      ifAbsent: options.ifAbsent ?? false,
      signal: options.signal,
    });
  }

  async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    assertObjectKey(key);
    options.signal?.throwIfAborted();
    return await readObject({
      root: this.#root,
      key,
      range: options.range,
      into: options.into,
      signal: options.signal,
    });
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncGenerator<BlobInfo> {
    assertKeyPrefix(prefix);
    options.signal?.throwIfAborted();
    yield* listObjects({ root: this.#root, prefix, signal: options.signal });
  }

  /** Durable like a put: a deleted restore point does not come back after power loss, when its packs may be gone. */
  async delete(key: string, options: CallOptions = {}): Promise<void> {
    assertObjectKey(key);
    options.signal?.throwIfAborted();
    try {
      await unlink(join(this.#root.directory, key));
    } catch (error) {
      if (hasErrno(error, 'EISDIR')) return;
      if (!isAbsence(error)) throw toStorageError(error, `delete the object ${key}`);
      await assertSameRoot(this.#root);
    }
    await this.#directories.sync(await this.#removeEmptyAbove(key));
  }

  async head(key: string, options: CallOptions = {}): Promise<BlobInfo | undefined> {
    assertObjectKey(key);
    options.signal?.throwIfAborted();
    const info = await objectInfo(this.#root, key);
    if (info === undefined) await assertSameRoot(this.#root);
    return info;
  }

  /** Nothing is held between calls. */
  async [Symbol.asyncDispose](): Promise<void> {}

  /** Gives back the nearest directory above `key` that is still there (as a path relative to the root). */
  async #removeEmptyAbove(key: string): Promise<string> {
    let folder = parentOf(key);
    while (folder !== '') {
      try {
        await rmdir(join(this.#root.directory, folder));
      } catch (error) {
        // In use, or not ours to remove: it stays. Gone already: whoever removed it may not have synced that yet.
        if (!isAbsence(error)) break;
      }
      this.#directories.forget(folder);
      folder = parentOf(folder);
    }
    return folder;
  }
}
