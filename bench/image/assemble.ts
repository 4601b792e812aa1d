/** Writes the raw image: file systems, random runs, duplicates; everything else stays a hole. */
import { type FileHandle, open, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Extent, MiB } from '@holdfast/base';
import { dataExtents } from './extents.ts';
import { makeFileSystem } from './file-system.ts';
import { createKeystream } from './keystream.ts';
import { type Duplicate, layRegions, planDuplicates } from './layout.ts';
import { imageSizeBytes, type Recipe } from './recipe.ts';

export async function assembleRaw(options: {
  readonly recipe: Recipe;
  /** One tree per `files` region. */
  readonly trees: readonly string[];
  readonly workDir: string;
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly Duplicate[]> {
  const { recipe, trees, workDir, path, signal } = options;
  await writeFile(path, '');
  await truncate(path, imageSizeBytes(recipe));
  await using image = await open(path, 'r+');
  const regions = layRegions(recipe);
  const fileData: Extent[] = [];
  for (const [index, region] of regions.filter((candidate) => candidate.kind === 'files').entries()) {
    const part = join(workDir, `files-${index}.ext4`);
    const tree = trees[index] ?? '';
    await makeFileSystem({ tree, path: part, sizeBytes: region.length, label: `holdfast-bench-${index}`, signal });
    await rm(tree, { recursive: true });
    await using source = await open(part, 'r');
    for (const extent of await dataExtents({ path: part, format: 'raw', signal })) {
      const to = region.offset + extent.offset;
      await copyRange({ source, target: image, from: extent.offset, to, length: extent.length, signal });
      fileData.push({ offset: to, length: extent.length });
    }
    await rm(part);
  }
  for (const region of regions.filter((candidate) => candidate.kind === 'random')) {
    const keystream = createKeystream(`${recipe.seed} random ${region.offset}`);
    for (let at = 0; at < region.length; at += MiB) {
      await image.write(keystream.bytes(MiB), 0, MiB, region.offset + at);
    }
  }
  const duplicates = planDuplicates({ recipe, data: fileData });
  for (const { from, to, length } of duplicates)
    await copyRange({ source: image, target: image, from, to, length, signal });
  await image.sync();
  return duplicates;
}

export async function copyRange(options: {
  readonly source: FileHandle;
  readonly target: FileHandle;
  readonly from: number;
  readonly to: number;
  readonly length: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { source, target, from, to, length, signal } = options;
  const buffer = Buffer.allocUnsafe(Math.min(4 * MiB, length));
  for (let at = 0; at < length; ) {
    signal?.throwIfAborted();
    const wanted = Math.min(buffer.length, length - at);
    const { bytesRead } = await source.read(buffer, 0, wanted, from + at);
    if (bytesRead === 0) throw new Error(`The source ends before ${from + length}`);
    await target.write(buffer, 0, bytesRead, to + at);
    at += bytesRead;
  }
}
