import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { contiguousExtents } from './extent-stream.ts';

test('extents come out contiguous, merged, exactly the range, and never zero where nobody said so', async () => {
  const pieces = fc.array(fc.record({ gap: fc.nat(3), length: fc.integer({ min: 1, max: 5 }), zero: fc.boolean() }));
  await fc.assert(
    fc.asyncProperty(pieces, fc.nat(20), fc.nat(40), async (given, offset, length) => {
      let position = 0;
      const extents = given.map(({ gap, length, zero }) => {
        const extent = { offset: position + gap, length, zero };
        position += gap + length;
        return extent;
      });
      const out = await Array.fromAsync(contiguousExtents({ range: { offset, length }, extents }));
      let expected = offset;
      let before: boolean | undefined;
      for (const extent of out) {
        assert.equal(extent.offset, expected);
        assert.ok(extent.length > 0);
        assert.notEqual(extent.zero, before);
        before = extent.zero;
        expected += extent.length;
      }
      assert.equal(expected, offset + length);
      const isZero = (byte: number) =>
        extents.some((extent) => extent.zero && byte >= extent.offset && byte < extent.offset + extent.length);
      for (const extent of out) {
        for (let byte = extent.offset; byte < extent.offset + extent.length; byte += 1)
          assert.equal(extent.zero, isZero(byte));
      }
    }),
  );
});
