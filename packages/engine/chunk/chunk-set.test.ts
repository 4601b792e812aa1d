import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkSet } from './chunk-set.ts';
import { geometryOf, minimumChunkBytes } from './geometry.ts';

const chunk = minimumChunkBytes;

test('a chunk set is the set of the chunks that its extents touch', () => {
  const disk = fc.integer({ min: 1, max: 40 * chunk }).chain((sizeBytes) =>
    fc.record({
      sizeBytes: fc.constant(sizeBytes),
      extents: fc.array(
        fc.nat(sizeBytes - 1).chain((offset) => fc.nat(sizeBytes - offset).map((length) => ({ offset, length }))),
        { maxLength: 5 },
      ),
      from: fc.nat(45),
      length: fc.nat(45),
    }),
  );
  fc.assert(
    fc.property(disk, ({ sizeBytes, extents, from, length }) => {
      const geometry = geometryOf({ sizeBytes, chunkBytes: chunk });
      const set = new ChunkSet(geometry.chunkCount);
      const oracle = new Set<number>();
      for (const extent of extents) {
        set.addTouched(extent, geometry);
        for (let number = 0; number < geometry.chunkCount; number += 1) {
          const start = number * chunk;
          const isTouched = extent.offset < start + chunk && extent.offset + extent.length > start;
          if (isTouched && extent.length > 0) oracle.add(number);
        }
      }
      assert.equal(set.size, oracle.size);
      for (let number = 0; number < geometry.chunkCount; number += 1) assert.equal(set.has(number), oracle.has(number));
      const to = Math.min(geometry.chunkCount, from + length);
      const isAny = Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index).some((one) =>
        oracle.has(one),
      );
      assert.equal(set.hasAny(from, to), isAny);
    }),
    { numRuns: 300 },
  );
});

test('an empty extent touches nothing, one byte touches one chunk', () => {
  const geometry = geometryOf({ sizeBytes: 3 * chunk, chunkBytes: chunk });
  const set = new ChunkSet(3);
  set.addTouched({ offset: chunk, length: 0 }, geometry);
  assert.equal(set.size, 0);
  set.addTouched({ offset: 2 * chunk - 1, length: 1 }, geometry);
  set.addTouched({ offset: 2 * chunk - 1, length: 1 }, geometry);
  assert.equal(set.size, 1);
  assert.ok(set.has(1));
});
