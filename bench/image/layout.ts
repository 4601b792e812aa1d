/** Where everything of the image lies: pure arithmetic over the recipe. */
import type { Extent } from '@holdfast/base';
import { MiB } from '@holdfast/base';
import { intersection, totalBytes } from './extents.ts';
import { createKeystream } from './keystream.ts';
import type { Recipe, RegionKind } from './recipe.ts';

export type Region = Extent & { readonly kind: RegionKind };

/** A range that is written a second time. */
export type Duplicate = {
  readonly from: number;
  readonly to: number;
  readonly length: number;
  /** True when both lie at the same place of a 1 MiB grid. */
  readonly aligned: boolean;
};

export function layRegions(recipe: Recipe): readonly Region[] {
  const regions: Region[] = [];
  let offset = 0;
  for (let group = 0; group < recipe.groups; group += 1) {
    for (const { kind, sizeBytes } of recipe.group) {
      regions.push({ kind, offset, length: sizeBytes });
      offset += sizeBytes;
    }
  }
  return regions;
}

/** How many bytes of files each file system gets: whole blocks, together exactly `fileBytes`. */
export function fileShares(recipe: Recipe): readonly number[] {
  const count = layRegions(recipe).filter((region) => region.kind === 'files').length;
  const blocks = recipe.fileBytes / recipe.blockBytes;
  return Array.from({ length: count }, (_, index) => {
    const share = Math.floor(blocks / count) + (index < blocks % count ? 1 : 0);
    return share * recipe.blockBytes;
  });
}

/**
 * Picks what each duplicate region repeats: ranges inside file regions, at least 95 % data, none used twice. Every
 * second one starts on a 1 MiB boundary like its copy; the others are off by a multiple of 4 KiB that is no multiple of
 * 64 KiB, so that no fixed grid finds them.
 *
 * @param data the data extents of the file regions, ascending.
 */
export function planDuplicates(options: {
  readonly recipe: Recipe;
  readonly data: readonly Extent[];
}): readonly Duplicate[] {
  const { recipe, data } = options;
  const keystream = createKeystream(`${recipe.seed} duplicates`);
  const regions = layRegions(recipe);
  const sources = regions.filter((region) => region.kind === 'files');
  const chosen: Duplicate[] = [];
  for (const target of regions.filter((region) => region.kind === 'duplicate')) {
    const aligned = chosen.length % 2 === 0;
    chosen.push(
      pickSource({ target, sources, data, keystream, aligned, taken: chosen, blockBytes: recipe.blockBytes }),
    );
  }
  return chosen;
}

function pickSource(options: {
  readonly target: Region;
  readonly sources: readonly Region[];
  readonly data: readonly Extent[];
  readonly keystream: ReturnType<typeof createKeystream>;
  readonly aligned: boolean;
  readonly taken: readonly Duplicate[];
  readonly blockBytes: number;
}): Duplicate {
  const { target, sources, data, keystream, aligned, taken, blockBytes } = options;
  const blocksPerMiB = MiB / blockBytes;
  for (let attempt = 0; attempt < 10_000; attempt += 1) {
    const region = sources[keystream.below(sources.length)];
    if (region === undefined) break;
    const start = region.offset + keystream.below(Math.floor((region.length - target.length) / MiB) - 1) * MiB;
    const shiftBlocks = keystream.below(blocksPerMiB);
    if (!aligned && shiftBlocks % 16 === 0) continue;
    const from = aligned ? start : start + shiftBlocks * blockBytes;
    const range = { offset: from, length: target.length };
    if (totalBytes(intersection([range], data)) < 0.95 * range.length) continue;
    if (taken.some((other) => from < other.from + other.length && other.from < from + target.length)) continue;
    return { from, to: target.offset, length: target.length, aligned };
  }
  throw new Error('The file regions hold too little data to repeat; check the package list.');
}
