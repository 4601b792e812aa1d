import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ReadCoverage } from './read-coverage.ts';

test('coverage agrees with a bitmap of bytes: no overlap accepted, complete exactly when all are there', () => {
  const piece = fc.record({ start: fc.integer({ min: -2, max: 20 }), length: fc.integer({ min: -1, max: 8 }) });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const coverage = new ReadCoverage(20);
      const bytes = new Set<number>();
      for (const { start, length } of pieces) {
        const wanted = Array.from({ length: Math.max(length, 0) }, (_, index) => start + index);
        const fits = wanted.length > 0 && wanted.every((byte) => byte >= 0 && byte < 20 && !bytes.has(byte));
        assert.equal(coverage.add(start, length), fits);
        if (fits) for (const byte of wanted) bytes.add(byte);
        assert.equal(coverage.complete, bytes.size === 20);
      }
    }),
  );
});
