import assert from 'node:assert/strict';
import { normalize } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { assertKeyPrefix, assertObjectKey, maxKeyLength } from './object-key.ts';

const isInvalid = (error: unknown): boolean => hasCode(error, 'object_key_invalid');

test('no text that is taken as a key can leave the root or reach a hidden file', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('a', '.', '/', '..', '\\', '-', '%', '\0', 'B9'), { maxLength: 12 }),
      (parts) => {
        const key = parts.join('');
        try {
          assertObjectKey(key);
        } catch (error) {
          assert.ok(isInvalid(error));
          return;
        }
        assert.equal(normalize(`/root/${key}`), `/root/${key}`);
        assert.doesNotMatch(key, /(^|\/)\.|\/$|^$/);
      },
    ),
    { numRuns: 2000 },
  );
});

test('every beginning of a key that does not end a segment at a dot is a prefix', () => {
  const key = 'd/tenant-1/rp/volumes/web.disk/2026-01-01T00.00.00Z-bkp_0193';
  for (let length = 0; length <= key.length; length += 1) assertKeyPrefix(key.slice(0, length));
});

test('lengths up to the limits are taken, one more is not', () => {
  const atLimit = `${'a'.repeat(255)}/${'b'.repeat(255)}`;
  assertObjectKey(`${atLimit}/`.slice(0, maxKeyLength - 1));
  assert.throws(() => assertObjectKey('a'.repeat(256)), isInvalid);
  assert.throws(() => assertObjectKey(`${atLimit}/cc`), isInvalid);
});
