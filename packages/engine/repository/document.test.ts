import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { z } from 'zod';
import { flips } from '../wire-fixture.ts';
import { decodeDocument, encodeDocument } from './document.ts';

const schema = z.strictObject({ version: z.literal(1), text: z.string(), numbers: z.array(z.number()) });
const content = fc.record(
  { version: fc.constant(1 as const), text: fc.string({ unit: 'grapheme' }), numbers: fc.array(fc.integer()) },
  { noNullPrototype: true },
);
const isDamaged = (error: unknown) => hasCode(error, 'repository_damaged');

test('a document is read back as it was written', () => {
  fc.assert(
    fc.property(content, (written) => assert.deepEqual(decodeDocument('d', encodeDocument(written), schema), written)),
  );
});

test('a flipped bit anywhere, and every truncation, is noticed', () => {
  fc.assert(
    fc.property(content, (written) => {
      const whole = encodeDocument(written);
      for (const { flipped } of flips(whole)) assert.throws(() => decodeDocument('d', flipped, schema), isDamaged);
      for (let length = 0; length < whole.length; length += 1) {
        assert.throws(() => decodeDocument('d', whole.subarray(0, length), schema), isDamaged);
      }
    }),
    { numRuns: 5 },
  );
});

test('a document of another shape, or that is no JSON, is refused by name', () => {
  assert.throws(() => decodeDocument('d', encodeDocument({ version: 2 }), schema), isDamaged);
  assert.throws(() => decodeDocument('d', Buffer.from('{}'), schema), isDamaged);
  assert.throws(() => decodeDocument('d', Buffer.alloc(0), schema), isDamaged);
});
