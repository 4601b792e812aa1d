import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@holdfast/testing';
import fc from 'fast-check';
import { ChunkSet } from '../chunk/chunk-set.ts';
import { chooseCleanSample } from './clean-sample.ts';

const input = fc.record({
  chunkCount: fc.oneof(fc.nat(40), fc.nat(50_000)),
  dirtyShare: fc.constantFrom(0, 0.1, 0.5, 0.99, 1),
  seed: fc.nat(),
  /** A generator that always gives the same number must not hang it. */
  isStuck: fc.boolean(),
});

test('the sample is clean chunks only, with both ends, each once, in order: 16 or a thousandth, all when there are fewer', () => {
  fc.assert(
    fc.property(input, ({ chunkCount, dirtyShare, seed, isStuck }) => {
      const random = seededRandom(seed);
      const changed = new ChunkSet(chunkCount);
      for (let chunk = 0; chunk < chunkCount; chunk += 1) if (random() < dirtyShare) changed.add(chunk);
      const isClean = (_: unknown, chunk: number): boolean => !changed.has(chunk);
      const cleanOnes = Array.from({ length: chunkCount }, (_, chunk) => chunk).filter(isClean);
      const [first, last] = [cleanOnes[0], cleanOnes.at(-1)];
      const ends = first === undefined || last === undefined ? undefined : { first, last };
      const sample = chooseCleanSample(changed, ends, (below) => (isStuck ? 0 : Math.floor(random() * below)));
      const clean = chunkCount - changed.size;
      assert.ok(!ends || (sample[0] === first && sample.at(-1) === last));
      assert.equal(sample.length, Math.min(clean, Math.max(16, Math.ceil(clean / 1000))));
      assert.equal(new Set(sample).size, sample.length);
      assert.deepEqual(
        sample,
        sample.toSorted((left, right) => left - right),
      );
      assert.ok(sample.every((chunk) => chunk >= 0 && chunk < chunkCount && !changed.has(chunk)));
    }),
    { numRuns: 200 },
  );
});

test('over many samples every clean chunk is looked at', () => {
  const changed = new ChunkSet(200);
  const seen = new Set<number>();
  for (let round = 0; round < 200; round += 1)
    for (const chunk of chooseCleanSample(changed, undefined)) seen.add(chunk);
  assert.equal(seen.size, 200);
});
