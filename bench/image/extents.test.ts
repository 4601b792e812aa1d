import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cellsTouchedBytes, complement, intersection, joined } from './extents.ts';

const space = 200;
const extents = fc
  .array(fc.record({ offset: fc.nat(space - 20), length: fc.integer({ min: 1, max: 20 }) }), { maxLength: 12 })
  .map(joined);
const bytesOf = (list: readonly { offset: number; length: number }[]): ReadonlySet<number> =>
  new Set(list.flatMap(({ offset, length }) => Array.from({ length }, (_, index) => offset + index)));

test('intersection holds exactly the bytes of both lists', () => {
  fc.assert(
    fc.property(extents, extents, (left, right) => {
      assert.deepEqual(bytesOf(intersection(left, right)), bytesOf(left).intersection(bytesOf(right)));
    }),
  );
});

test('complement holds exactly the bytes that the list lacks', () => {
  fc.assert(
    fc.property(extents, (list) => {
      const all = bytesOf([{ offset: 0, length: space }]);
      assert.deepEqual(bytesOf(complement(list, space)), all.difference(bytesOf(list)));
    }),
  );
});

test('cells are counted once, however many extents touch them', () => {
  const touched = [
    { offset: 0, length: 1 },
    { offset: 5, length: 10 },
    { offset: 39, length: 2 },
  ];
  assert.equal(cellsTouchedBytes(touched, 10), 40);
});
