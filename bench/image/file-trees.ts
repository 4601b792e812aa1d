/**
 * Deals the unpacked files out to the trees that become file systems, each tree exactly its share of bytes: counted
 * are 4 KiB blocks that are not all zero, since mke2fs leaves the others out.
 */
import { type Dirent } from 'node:fs';
import { copyFile, mkdir, open, readdir, rename, truncate } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { UnpackedPackage } from './packages.ts';

type Item = { readonly path: string; readonly root: string; readonly kind: 'file' | 'link' };

/** Moves the files; what is left over at the end stays where it is. @throws Error when the packages hold too little. */
export async function fillTrees(options: {
  readonly packages: readonly UnpackedPackage[];
  readonly treesDir: string;
  readonly shares: readonly number[];
  readonly blockBytes: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly string[]> {
  const { packages, treesDir, shares, blockBytes, signal } = options;
  const items = packages.length > 0 ? walkAll(packages) : undefined;
  const trees: string[] = [];
  for (const [index, share] of shares.entries()) {
    const tree = join(treesDir, String(index));
    await mkdir(tree, { recursive: true });
    let blocksLeft = share / blockBytes;
    while (blocksLeft > 0) {
      signal?.throwIfAborted();
      const next = await items?.next();
      if (next === undefined || next.done) throw new Error('The packages hold less than the recipe asks for.');
      blocksLeft -= await place({ item: next.value, tree, blocksLeft, blockBytes });
    }
    trees.push(tree);
  }
  return trees;
}

async function* walkAll(packages: readonly UnpackedPackage[]): AsyncGenerator<Item, undefined> {
  for (const { dir } of packages) yield* walk(dir, dir);
  return undefined;
}

async function* walk(root: string, dir: string): AsyncGenerator<Item, undefined> {
  const entries = await readdir(dir, { withFileTypes: true });
  for (const entry of entries.toSorted(byName)) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) yield* walk(root, path);
    else if (entry.isFile()) yield { path, root, kind: 'file' };
    else if (entry.isSymbolicLink()) yield { path, root, kind: 'link' };
  }
  return undefined;
}

/** @returns the data blocks that the tree grew by. */
async function place(options: {
  readonly item: Item;
  readonly tree: string;
  readonly blocksLeft: number;
  readonly blockBytes: number;
}): Promise<number> {
  const { item, tree, blocksLeft, blockBytes } = options;
  const target = join(tree, relative(item.root, item.path));
  await mkdir(dirname(target), { recursive: true });
  if (item.kind === 'link') {
    await rename(item.path, target);
    return 0;
  }
  const { blocks, cutAtBytes } = await countBlocks({ path: item.path, most: blocksLeft, blockBytes });
  if (cutAtBytes === undefined) await rename(item.path, target);
  else {
    await copyFile(item.path, target);
    await truncate(target, cutAtBytes);
  }
  return blocks;
}

/** Non-zero blocks of the file, at most `most`; `cutAtBytes` is where it must end when it has more. */
async function countBlocks(options: {
  readonly path: string;
  readonly most: number;
  readonly blockBytes: number;
}): Promise<{ readonly blocks: number; readonly cutAtBytes?: number }> {
  const { path, most, blockBytes } = options;
  const zeros = Buffer.alloc(blockBytes);
  const buffer = Buffer.alloc(1024 * blockBytes);
  await using file = await open(path, 'r');
  let blocks = 0;
  for (let offset = 0; ; ) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0) return { blocks };
    for (let at = 0; at < bytesRead; at += blockBytes) {
      const block = buffer.subarray(at, Math.min(at + blockBytes, bytesRead));
      if (block.equals(zeros.subarray(0, block.length))) continue;
      if (blocks === most) return { blocks, cutAtBytes: offset + at };
      blocks += 1;
    }
    offset += bytesRead;
  }
}

function byName(left: Dirent, right: Dirent): number {
  return left.name < right.name ? -1 : 1;
}
