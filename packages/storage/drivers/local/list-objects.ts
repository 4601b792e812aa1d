/**
 * Listing of the local driver: a walk in key order. Memory is one directory's names for each level on the way down.
 *
 * Order: keys compare byte by byte, and '-' and '.' come before '/'. So a folder sorts as its name with a slash behind
 * it (`a-b`, `a.b`, `a/x`, `a0`), not as its bare name.
 *
 * What vanishes during the walk was deleted and is left out; what cannot be read is an error, since a listing that
 * silently lacks a directory would have its objects collected.
 */
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlobInfo } from '../../blob-store.ts';
import { isKeySegment, maxKeyLength } from '../../object-key.ts';
import { absentAs } from './local-errors.ts';
import { assertSameRoot, type StoreRoot } from './store-root.ts';

export type ListRequest = {
  readonly root: StoreRoot;
  /** Checked by the caller. May end within a segment. */
  readonly prefix: string;
  readonly signal: AbortSignal | undefined;
};

type Entry = { readonly key: string; readonly isFolder: boolean; readonly order: string };
type Level = { readonly entries: readonly Entry[]; next: number };

/** Sizes are asked for this many objects at once; more than the thread pool has threads gains nothing. */
const sizesAtOnce = 32;

/** @throws storage_denied, storage_unreachable, signal.reason */
export async function* listObjects(request: ListRequest): AsyncGenerator<BlobInfo> {
  const { root, prefix, signal } = request;
  const start = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  await assertSameRoot(root);
  const path: Level[] = [await readLevel(root, start, prefix)];
  for (let level = path.at(-1); level !== undefined; level = path.at(-1)) {
    signal?.throwIfAborted();
    const entry = level.entries[level.next];
    if (entry === undefined) {
      path.pop();
    } else if (entry.isFolder) {
      level.next += 1;
      path.push(await readLevel(root, `${entry.key}/`, prefix));
    } else {
      const files = filesFrom(level);
      level.next += files.length;
      for (const info of await Promise.all(files.map(({ key }) => objectInfo(root, key)))) {
        if (info !== undefined) yield info;
      }
    }
  }
  // An unmounted storage looks empty; without this the listing would claim so.
  await assertSameRoot(root);
}

/** Size of an object, or undefined where there is none. */
export async function objectInfo(root: StoreRoot, key: string): Promise<BlobInfo | undefined> {
  const found = await stat(join(root.directory, key)).catch(absentAs(undefined, `look at the object ${key}`));
  return found?.isFile() ? { key, sizeBytes: found.size } : undefined;
}

function filesFrom(level: Level): readonly Entry[] {
  let end = level.next;
  while (end < level.next + sizesAtOnce && level.entries[end]?.isFolder === false) end += 1;
  return level.entries.slice(level.next, end);
}

async function readLevel(root: StoreRoot, folder: string, prefix: string): Promise<Level> {
  const path = join(root.directory, folder);
  const found = await readdir(path, { withFileTypes: true }).catch(
    absentAs<Dirent[]>([], `list ${folder === '' ? root.directory : folder}`),
  );
  const entries: Entry[] = [];
  for (const dirent of found) {
    const key = folder + dirent.name;
    // Names outside the grammar (`.tmp`, `lost+found`, `.nfs...`) can be nobody's keys.
    if (!isKeySegment(dirent.name) || key.length > maxKeyLength) continue;
    if (!(key.startsWith(prefix) || prefix.startsWith(`${key}/`))) continue;
    const isFolder = await resolvesToFolder(root, key, dirent);
    if (isFolder !== undefined) entries.push({ key, isFolder, order: isFolder ? `${key}/` : key });
  }
  // Keys are ASCII, so comparing UTF-16 units compares bytes.
  entries.sort((left, right) => (left.order < right.order ? -1 : 1));
  return { entries, next: 0 };
}

/** Symbolic links are followed, as `get` follows them; undefined for what is neither object nor folder. */
async function resolvesToFolder(root: StoreRoot, key: string, dirent: Dirent): Promise<boolean | undefined> {
  if (dirent.isFile()) return false;
  if (dirent.isDirectory()) return true;
  if (!dirent.isSymbolicLink()) return undefined;
  const target = await stat(join(root.directory, key)).catch(absentAs(undefined, `follow the link ${key}`));
  return target?.isDirectory() ? true : target?.isFile() ? false : undefined;
}
