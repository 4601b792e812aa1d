import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { resolveRange } from './byte-range.ts';

test('a range means what Buffer.subarray means', () => {
  const sizes = fc.integer({ min: 0, max: 300 });
  const offsets = fc.integer({ min: -400, max: 400 });
  fc.assert(
    fc.property(sizes, offsets, fc.nat(500), (sizeBytes, offset, length) => {
      const content = Buffer.from(Array.from({ length: sizeBytes }, (_, index) => index % 251));
      const { start, end } = resolveRange({ offset, length }, sizeBytes);
      assert.ok(0 <= start && start <= end && end <= sizeBytes);
      const due = offset < 0 ? content.subarray(offset) : content.subarray(offset, offset + length);
      assert.deepEqual(content.subarray(start, end), due);
    }),
  );
});

test('no range is the whole object', () => {
  assert.deepEqual(resolveRange(undefined, 7), { start: 0, end: 7 });
});

test('ranges that are no whole numbers are defects of the caller', () => {
  for (const range of [
    { offset: 0.5, length: 1 },
    { offset: 0, length: -1 },
    { offset: Number.NaN, length: 1 },
  ]) {
    assert.throws(
      () => resolveRange(range, 10),
      (error) => hasCode(error, 'internal'),
    );
  }
});
