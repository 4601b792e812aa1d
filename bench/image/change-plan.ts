/**
 * What "1 % changed" means: 983 granules of 64 KiB out of the 98 304 of the image, by two patterns:
 * `scattered`, single granules at random 64 KiB-aligned places, and `runs`, 1 MiB at a time at such places (the last
 * run is shorter, so that both change the same number of bytes).
 *
 * Real disks change where there is data, mostly: 70 % of the writes begin in a granule that holds data, 30 % in a hole.
 * The new content is random for every second write and text for the others.
 */
import type { Extent } from '@holdfast/base';
import { createKeystream, type Keystream } from './keystream.ts';
import { imageSizeBytes, type Recipe } from './recipe.ts';

export const changePatterns = ['scattered', 'runs'] as const;
export type ChangePattern = (typeof changePatterns)[number];

export type PlannedWrite = Extent & { readonly content: 'random' | 'text'; readonly inData: boolean };

/** In ascending order, no two overlap. @param data the data extents of the image, ascending. */
export function planChanges(options: {
  readonly recipe: Recipe;
  readonly pattern: ChangePattern;
  readonly data: readonly Extent[];
}): readonly PlannedWrite[] {
  const { recipe, pattern, data } = options;
  const { granuleBytes, granules, runGranules, shareInData } = recipe.changes;
  const keystream = createKeystream(`${recipe.seed} changes ${pattern}`);
  const holds = granulesWithData(data, granuleBytes);
  const total = imageSizeBytes(recipe) / granuleBytes;
  const step = pattern === 'scattered' ? 1 : runGranules;
  const count = Math.ceil(granules / step);
  const taken = new Set<number>();
  const writes: PlannedWrite[] = [];
  for (let index = 0; index < count; index += 1) {
    const length = Math.min(step, granules - index * step);
    // Content alternates within both groups, so content and place are independent of each other.
    const inData = index < Math.round(count * shareInData);
    const first = pickFree({ keystream, total, length, taken, accept: (granule) => holds.has(granule) === inData });
    for (let granule = first; granule < first + length; granule += 1) taken.add(granule);
    const content = index % 2 === 0 ? 'random' : 'text';
    writes.push({ offset: first * granuleBytes, length: length * granuleBytes, content, inData });
  }
  return writes.toSorted((left, right) => left.offset - right.offset);
}

function pickFree(options: {
  readonly keystream: Keystream;
  readonly total: number;
  readonly length: number;
  readonly taken: ReadonlySet<number>;
  readonly accept: (granule: number) => boolean;
}): number {
  const { keystream, total, length, taken, accept } = options;
  for (;;) {
    const first = keystream.below(total - length + 1);
    if (!accept(first)) continue;
    let free = true;
    for (let granule = first; granule < first + length; granule += 1) free &&= !taken.has(granule);
    if (free) return first;
  }
}

function granulesWithData(data: readonly Extent[], granuleBytes: number): ReadonlySet<number> {
  const granules = new Set<number>();
  for (const { offset, length } of data) {
    for (let granule = Math.floor(offset / granuleBytes); granule * granuleBytes < offset + length; granule += 1) {
      granules.add(granule);
    }
  }
  return granules;
}
