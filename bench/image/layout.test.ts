import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GiB, KiB, MiB } from '@holdfast/base';
import { intersection, totalBytes } from './extents.ts';
import { fileShares, layRegions, planDuplicates } from './layout.ts';
import { imageSizeBytes, recipe } from './recipe.ts';

const sizeOf = (kind: string): number => totalBytes(layRegions(recipe).filter((region) => region.kind === kind));
/** File systems that are full from their start to 416 MiB, as mke2fs fills them. */
const data = layRegions(recipe)
  .filter((region) => region.kind === 'files')
  .map(({ offset }) => ({ offset, length: 416 * MiB }));

test('the image is 6 GiB with 512 MiB random and 512 MiB of duplicates', () => {
  assert.equal(imageSizeBytes(recipe), 6 * GiB);
  assert.equal(sizeOf('random'), 512 * MiB);
  assert.equal(sizeOf('duplicate'), 512 * MiB);
});

test('the file systems together hold 1.6 GiB of files in whole blocks', () => {
  const total = fileShares(recipe).reduce((sum, share) => sum + share, 0);
  assert.equal(total, recipe.fileBytes);
  assert.ok(Math.abs(total - 1.6 * GiB) < recipe.blockBytes);
});

test('half of the duplicates keep their place in a 1 MiB grid, the others fit no grid of 64 KiB or more', () => {
  const duplicates = planDuplicates({ recipe, data });
  const shift = ({ from, to }: { from: number; to: number }): number => Math.abs(to - from);
  const aligned = duplicates.filter((duplicate) => duplicate.aligned);
  assert.equal(totalBytes(aligned.map(({ to, length }) => ({ offset: to, length }))), 256 * MiB);
  for (const duplicate of duplicates) {
    if (duplicate.aligned) assert.equal(shift(duplicate) % MiB, 0);
    else {
      assert.equal(shift(duplicate) % (4 * KiB), 0);
      assert.notEqual(shift(duplicate) % (64 * KiB), 0);
    }
  }
});

test('duplicates repeat file data, none of it twice', () => {
  const sources = planDuplicates({ recipe, data })
    .map(({ from, length }) => ({ offset: from, length }))
    .toSorted((left, right) => left.offset - right.offset);
  for (const [index, source] of sources.entries()) {
    assert.ok(totalBytes(intersection([source], data)) >= 0.95 * source.length);
    const next = sources[index + 1];
    if (next !== undefined) assert.ok(source.offset + source.length <= next.offset);
  }
});
