import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError, hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { reference } from '../wire-fixture.ts';
import { decodeReferences, encodeReferences, type Reference, sameContent } from './reference-list.ts';

const isDamaged = (error: unknown) => hasCode(error, 'repository_damaged');

test('references are read back as they were written', () => {
  fc.assert(
    fc.property(fc.array(reference, { maxLength: 300 }), (references) => {
      assert.deepEqual(decodeReferences(encodeReferences(references)), references);
    }),
  );
});

test('a pack is named once however many references use it', () => {
  const location = { packId: 'ab'.repeat(32), slot: 0, offset: 0, storedBytes: 1 };
  const list = Array.from({ length: 256 }, (): Reference => ({ kind: 'data', id: Buffer.alloc(32), location }));
  assert.equal(encodeReferences(list).length, 8 + 256 + 32 + 256 * 44);
});

test('a list that is cut short or goes on is refused', () => {
  fc.assert(
    fc.property(fc.array(reference, { maxLength: 5 }), (references) => {
      const whole = encodeReferences(references);
      for (let length = 0; length < whole.length; length += 1) {
        assert.throws(() => decodeReferences(whole.subarray(0, length)), isDamaged);
      }
      assert.throws(() => decodeReferences(Buffer.concat([whole, Buffer.alloc(1)])), isDamaged);
    }),
  );
});

test('bytes that are no list give references or repository_damaged, never another error', () => {
  const input = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
    fc.tuple(fc.array(reference, { maxLength: 4 }), fc.nat(), fc.nat(255)).map(([references, at, value]) => {
      const list = encodeReferences(references);
      list[at % list.length] = value;
      return list;
    }),
  );
  fc.assert(
    fc.property(input, (list) => {
      try {
        decodeReferences(list);
      } catch (error) {
        assert.ok(error instanceof HoldfastError && error.code === 'repository_damaged');
      }
    }),
    { numRuns: 1000 },
  );
});

test('an entry of a kind that does not exist is refused', () => {
  const list = encodeReferences([{ kind: 'zero' }]);
  list[8] = 4;
  assert.throws(() => decodeReferences(list), isDamaged);
});

test('content is the same when its id is, wherever it lies', () => {
  const at = (packId: string, id: number): Reference => ({
    kind: 'data',
    id: Buffer.alloc(32, id),
    location: { packId: packId.repeat(64), slot: 0, offset: 0, storedBytes: 1 },
  });
  assert.ok(sameContent(at('a', 1), at('b', 1)));
  assert.ok(!sameContent(at('a', 1), at('a', 2)));
  assert.ok(sameContent({ kind: 'zero' }, { kind: 'zero' }));
  assert.ok(!sameContent({ kind: 'zero' }, at('a', 0)));
});
