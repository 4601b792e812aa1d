/** Ten points of a disk that changes a little each time, at random: patched chunks over and over, and none of them wrong. */
import assert from 'node:assert/strict';
import type { Extent } from '@holdfast/base';
import { applyChange, type DiskChange, type MemoryDisk } from '@holdfast/testing';
import fc from 'fast-check';
import { subChunkBytes } from '../chunk/chunk-digest.ts';
import type { RestorePoint } from '../manifest/points.ts';
import { assertVerifies, backupOf, newRepository } from '../repository-fixture.ts';
import { assertEveryWay, diskOfNoise, formats, kindsOf } from './patched-chunks-fixture.ts';

const pointCount = 10;

/** A small write at a share of the disk; often at a few places only, so that the same sub-chunks change again. */
const write = fc.record({
  at: fc.oneof(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.constantFrom(0, 0.3, 0.31, 0.99)),
  length: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.constantFrom(subChunkBytes, 2 * subChunkBytes)),
  kind: fc.constantFrom('noise', 'noise', 'text', 'zeros', 'hole', 'copy', 'flip'),
  seed: fc.nat(3),
  from: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
} as const);

const step = fc.record({
  writes: fc.array(write, { minLength: 1, maxLength: 4 }),
  knows: fc.constantFrom('changes', 'changes', 'changes', 'parent', 'nothing'),
  /** The disk goes back to what it was so many points ago. */
  revertTo: fc.option(fc.nat(pointCount), { freq: 8 }),
} as const);

const history = fc.record({
  format: fc.constantFrom(...formats),
  chunks: fc.integer({ min: 1, max: 3 }),
  tailBytes: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 0, max: 5 * subChunkBytes })),
  packBytes: fc.constantFrom(100_000, 700_000, 32 * 1024 * 1024),
  steps: fc.array(step, { minLength: pointCount - 1, maxLength: pointCount - 1 }),
  seed: fc.nat(),
});

/** Every point of each history comes back in every way; the histories together make many patches. */
export async function assertPatchedHistories(options: { readonly numRuns: number }): Promise<void> {
  let patched = 0;
  const property = fc.asyncProperty(history, async ({ format, chunks, tailBytes, packBytes, steps, seed }) => {
    const { repository } = await newRepository({ ...format, packBytes });
    let disk = diskOfNoise(chunks * format.chunkBytes + tailBytes);
    const kept: { readonly point: RestorePoint; readonly disk: MemoryDisk }[] = [];
    const first = await backupOf(repository, { vda: disk });
    kept.push({ point: first.point, disk: disk.clone() });
    for (const { writes, knows, revertTo } of steps) {
      const back = revertTo === null ? undefined : kept[revertTo]?.disk;
      if (back) disk = back.clone();
      const changes = writes.map((one) => asChange(one, disk));
      for (const change of changes) applyChange(disk, change);
      const changed: Extent[] = back
        ? [{ offset: 0, length: disk.sizeBytes }]
        : changes.map(({ offset, length }) => ({ offset, length: Math.min(length, disk.sizeBytes - offset) }));
      const { point } = await backupOf(
        repository,
        { vda: disk },
        {
          ...(knows !== 'nothing' && { parent: kept.at(-1)!.point }),
          ...(knows === 'changes' && { changed: { vda: changed } }),
          tellsHoles: seed % 2 === 0,
        },
      );
      kept.push({ point, disk: disk.clone() });
    }
    for (const one of kept) {
      await assertEveryWay(repository, { ...one, seed });
      patched += (await kindsOf(repository, one.point)).filter((kind) => kind === 'split').length;
    }
    assert.equal((await assertVerifies(repository)).length, pointCount);
  });
  await fc.assert(property, { numRuns: options.numRuns });
  assert.ok(patched > options.numRuns * 3, `only ${patched} patched chunks in ${options.numRuns} histories`);
}

function asChange(
  one: {
    readonly at: number;
    readonly length: number;
    readonly kind: DiskChange['kind'];
    readonly seed: number;
    readonly from: number;
  },
  disk: MemoryDisk,
): DiskChange {
  const { kind, length, seed } = one;
  const placeOf = (share: number) => Math.floor(share * disk.sizeBytes);
  return { kind, length, seed, offset: placeOf(one.at), from: placeOf(one.from) };
}
