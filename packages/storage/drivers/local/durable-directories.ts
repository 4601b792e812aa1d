/**
 * Directories whose names survive power loss, and the fsync of their entries.
 *
 * What each fsync protects:
 * - of a parent, after a directory was made (or found: another process may have made it a moment ago and not synced it
 *   yet): the *name of the directory*, without which everything inside is lost however well it was synced;
 * - of a directory, after rename, link or unlink: the *name of the object*, there or gone.
 * (The fsync of the content is in `publish-object.ts`.)
 *
 * `delete` removes directories that became empty, so a known one may have been replaced by another process. Each sync
 * compares its identity with the known one and forgets it when it differs; `syncDurable` then makes it durable anew.
 */
import { chmod, mkdir, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/base';
import { hasErrno, isAbsence, storageCall, toStorageError } from './local-errors.ts';
import { assertSameRoot, type StoreRoot } from './store-root.ts';

/** Losing the race against deletes of others as often as this is no race. */
const maxAttempts = 8;

/** Paths are relative to the root; the root itself is ''. */
export class DurableDirectories {
  readonly #root: StoreRoot;
  /** Identity of each directory made durable by this object; bounded by the number of directories of the store. */
  readonly #known = new Map<string, Promise<string>>();
  /** Syncs that have not begun: whoever changed the directory until now is covered by them. */
  readonly #queued = new Map<string, Promise<void>>();
  readonly #running = new Map<string, Promise<void>>();

  constructor(root: StoreRoot) {
    this.#root = root;
  }

  /**
   * The directory exists afterwards, durably. It may vanish again when another process deletes its last object.
   * @throws storage_unreachable (also when the root was unmounted), storage_denied, storage_full, object_key_invalid
   */
  async ensure(relative: string): Promise<void> {
    if (relative === '') return;
    let known = this.#known.get(relative);
    if (known === undefined) {
      known = this.#make(relative);
      this.#known.set(relative, known);
      known.catch(() => this.#known.delete(relative));
    }
    await known;
  }

  /** The directory was seen to be gone: it and those above are made anew when next needed. */
  forget(relative: string): void {
    for (let gone = relative; gone !== ''; gone = parentOf(gone)) this.#known.delete(gone);
  }

  /**
   * Every change made to the entries of the directory before this call is durable afterwards. Calls that come while a
   * sync runs share the next one. A directory that is gone needs none.
   */
  sync(relative: string): Promise<void> {
    const queued = this.#queued.get(relative);
    if (queued) return queued;
    const before = this.#running.get(relative) ?? Promise.resolve();
    const next = before
      .catch(() => undefined)
      .then(() => {
        this.#queued.delete(relative);
        this.#running.set(relative, next);
        return this.#syncNow(relative);
      })
      .finally(() => {
        if (this.#running.get(relative) === next) this.#running.delete(relative);
      });
    this.#queued.set(relative, next);
    return next;
  }

  /** As `sync`, and the directory's own name is durable too, even when others replaced it since `ensure`. */
  async syncDurable(relative: string): Promise<void> {
    await this.sync(relative);
    await this.ensure(relative);
  }

  async #make(relative: string): Promise<string> {
    const parent = parentOf(relative);
    const path = join(this.#root.directory, relative);
    const doing = `create the directory ${relative}`;
    for (let attempt = 1; ; attempt += 1) {
      if (parent === '') await assertSameRoot(this.#root);
      await this.ensure(parent);
      try {
        await this.#makeOne(path);
        // Before the sync: should it be replaced in between, its identity betrays that later.
        const made = await stat(path);
        if (!made.isDirectory()) throw nameTaken(relative, undefined);
        await this.syncDurable(parent);
        return identityOf(made);
      } catch (error) {
        if (hasErrno(error, 'ENOTDIR')) throw nameTaken(relative, error);
        if (!hasErrno(error, 'ENOENT') || attempt >= maxAttempts) throw toStorageError(error, doing);
        this.forget(parent);
      }
    }
  }

  async #makeOne(path: string): Promise<void> {
    const { directoryMode } = this.#root;
    try {
      await mkdir(path, { mode: directoryMode });
      // The umask took group rights away that the root directory gives.
      if ((directoryMode & 0o020) !== 0) await chmod(path, directoryMode);
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error;
    }
  }

  async #syncNow(relative: string): Promise<void> {
    const doing = `sync the directory ${relative === '' ? this.#root.directory : relative}`;
    const handle = await open(join(this.#root.directory, relative), 'r').catch(async (error: unknown) => {
      if (!isAbsence(error)) throw toStorageError(error, doing);
      await assertSameRoot(this.#root);
      return undefined;
    });
    if (handle === undefined) return;
    await using directory = handle;
    await directory.sync().catch((error: unknown) => {
      if (!hasErrno(error, 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) {
        throw toStorageError(error, doing);
      }
      throw new HoldfastError('storage_contract_broken', `The file system cannot ${doing}.`, {
        cause: error,
        remedy: 'Use a file system whose directories can be synced (ext4, XFS, Btrfs, ZFS, NFS).',
      });
    });
    const known = relative === '' ? undefined : await this.#known.get(relative)?.catch(() => undefined);
    if (known !== undefined && known !== identityOf(await storageCall(doing, directory.stat()))) {
      this.forget(relative);
    }
  }
}

/** Relative path of the directory above; '' for one directly in the root. */
export function parentOf(relative: string): string {
  return relative.slice(0, Math.max(0, relative.lastIndexOf('/')));
}

function identityOf(found: { readonly dev: number; readonly ino: number; readonly birthtimeMs: number }): string {
  return `${found.dev}:${found.ino}:${found.birthtimeMs}`;
}

function nameTaken(relative: string, cause: unknown): HoldfastError {
  return new HoldfastError('object_key_invalid', `${relative} or a part of it is an object, not a folder.`, {
    cause,
    remedy: 'On this storage an object and a folder cannot have the same name.',
  });
}
