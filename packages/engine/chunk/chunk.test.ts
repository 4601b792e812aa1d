import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { test } from 'node:test';
import { hasCode, KiB, MiB, TiB } from '@holdfast/base';
import fc from 'fast-check';
import { chunkLengthAt, chunksPerPage, geometryOf } from './geometry.ts';
import { keyedHash, objectHash } from './hash.ts';
import { isAllZero } from './zero.ts';

test('the chunks of a disk cover it exactly, only the last may be shorter', () => {
  const input = fc.record({
    chunkBytes: fc.integer({ min: 0, max: 6 }).map((power) => (64 * KiB) << power),
    sizeBytes: fc.oneof(fc.nat(200 * MiB), fc.constantFrom(0, 1, 64 * KiB, 5 * TiB, 5 * TiB + 1)),
  });
  fc.assert(
    fc.property(input, (disk) => {
      const geometry = geometryOf(disk);
      const { chunkCount, pageCount } = geometry;
      assert.equal(pageCount, Math.ceil(chunkCount / chunksPerPage));
      if (chunkCount === 0) return assert.equal(disk.sizeBytes, 0);
      const last = chunkLengthAt(geometry, chunkCount - 1);
      assert.ok(last > 0 && last <= disk.chunkBytes);
      assert.equal((chunkCount - 1) * disk.chunkBytes + last, disk.sizeBytes);
      if (chunkCount > 1) assert.equal(chunkLengthAt(geometry, 0), disk.chunkBytes);
    }),
  );
});

test('a grid that the format does not know is refused', () => {
  for (const chunkBytes of [0, 1, 32 * KiB, 96 * KiB, 8 * MiB, -65536, 64 * KiB + 0.5]) {
    assert.throws(
      () => geometryOf({ sizeBytes: 1, chunkBytes }),
      (error) => hasCode(error, 'usage'),
      String(chunkBytes),
    );
  }
  for (const sizeBytes of [-1, 0.5, Number.NaN, 2 ** 53]) {
    assert.throws(
      () => geometryOf({ sizeBytes, chunkBytes: MiB }),
      (error) => hasCode(error, 'source_unreadable'),
    );
  }
});

test('hashes are the published ones', () => {
  // https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors/test_vectors.json, input_len 0 and 1.
  const key = Buffer.from('whats the Elvish word for friend');
  const keyed = keyedHash('blake3', key);
  assert.equal(
    keyed(Buffer.alloc(0)).toString('hex'),
    '92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26',
  );
  assert.equal(
    keyed(Buffer.from([0])).toString('hex'),
    '6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b',
  );
  const plain = objectHash('blake3', Buffer.alloc(0)).toString('hex');
  assert.equal(plain, 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262');
  const content = Buffer.from('content');
  assert.ok(keyedHash('hmac-sha-256', key)(content).equals(createHmac('sha256', key).update(content).digest()));
  assert.ok(objectHash('hmac-sha-256', content).equals(createHash('sha256').update(content).digest()));
});

test('a buffer is zero when every byte is', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (array) => {
      assert.equal(
        isAllZero(Buffer.from(array)),
        array.every((byte) => byte === 0),
      );
    }),
  );
  for (const length of [0, 1, 64 * KiB, 4 * MiB]) {
    const bytes = Buffer.alloc(length);
    assert.ok(isAllZero(bytes));
    for (const at of length === 0 ? [] : [0, length >> 1, length - 1]) {
      bytes[at] = 1;
      assert.ok(!isAllZero(bytes));
      bytes[at] = 0;
    }
  }
});
