import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { decodeCursor, encodeCursor } from './cursor.ts';

const isInvalid = (error: unknown) => hasCode(error, 'request_invalid') && error.errors[0]?.pointer === '/query/cursor';
const key = fc.oneof(fc.string({ maxLength: 50 }), fc.nat());
const filters = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.option(fc.string(), { nil: undefined }));

test('a cursor leads on under its own filters, in whatever order, and under no others', () => {
  fc.assert(
    fc.property(key, filters, filters, (after, own, other) => {
      const cursor = encodeCursor(after, own);
      assert.equal(decodeCursor(cursor, Object.fromEntries(Object.entries(own).toReversed())), after);
      const set = (some: object) =>
        Object.entries(some)
          .filter(([, value]) => value !== undefined)
          .toSorted(([a], [b]) => (a < b ? -1 : 1));
      if (JSON.stringify(set(own)) !== JSON.stringify(set(other))) {
        assert.throws(() => decodeCursor(cursor, other), isInvalid);
      }
    }),
  );
});

test('anything else is refused by name', () => {
  fc.assert(fc.property(fc.string(), (text) => assert.throws(() => decodeCursor(text, {}), isInvalid)));
  for (const value of [
    null,
    7,
    'x',
    {},
    { after: {}, filters: '' },
    { after: 'a' },
    { after: 'a', filters: '', more: 1 },
  ]) {
    const cursor = Buffer.from(JSON.stringify(value)).toString('base64url');
    assert.throws(() => decodeCursor(cursor, {}), isInvalid);
  }
});
