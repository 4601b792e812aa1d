import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KiB, MiB } from '@holdfast/base';
import { noise } from '@holdfast/testing';
import fc from 'fast-check';
import { type ChunkHashes, changedSubChunks, digestChunk, subChunkBytes } from './chunk-digest.ts';
import { type HashAlgorithm, hashAlgorithms, hashBytes, keyedHash } from './hash.ts';

function hashesOf(algorithm: HashAlgorithm): ChunkHashes {
  return {
    list: keyedHash(algorithm, Buffer.alloc(hashBytes, 1)),
    subChunk: keyedHash(algorithm, Buffer.alloc(hashBytes, 2)),
  };
}

/** Around the edges of sub-chunks, and anywhere. */
const lengths = fc.oneof(
  fc.constantFrom(1, subChunkBytes - 1, subChunkBytes, subChunkBytes + 1, 4 * subChunkBytes, MiB),
  fc.integer({ min: 1, max: 5 * subChunkBytes }),
);

for (const algorithm of hashAlgorithms) {
  const hashes = hashesOf(algorithm);

  test(`a digest is the hash of each 64 KiB, and the hash of their list (${algorithm})`, () => {
    for (const length of [1, 64 * KiB, 64 * KiB + 1, 256 * KiB, MiB - 7]) {
      const plain = noise({ seed: length, length });
      const { id, subChunkHashes } = digestChunk(hashes, plain);
      const parts: Buffer[] = [];
      for (let at = 0; at < length; at += 65536) parts.push(hashes.subChunk(plain.subarray(at, at + 65536)));
      assert.ok(subChunkHashes.equals(Buffer.concat(parts)));
      assert.ok(id.equals(hashes.list(Buffer.concat(parts))));
    }
  });

  test(`any changed byte changes the hash of its sub-chunk, no other, and the id (${algorithm})`, () => {
    const input = fc.record({ length: lengths, at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }) });
    fc.assert(
      fc.property(input, fc.nat(7), ({ length, at }, bit) => {
        const before = noise({ seed: length, length });
        const after = Buffer.from(before);
        const offset = Math.floor(at * length);
        after[offset]! ^= 1 << bit;
        const [left, right] = [digestChunk(hashes, before), digestChunk(hashes, after)];
        assert.deepEqual(changedSubChunks(left.subChunkHashes, right.subChunkHashes), [
          Math.floor(offset / subChunkBytes),
        ]);
        assert.ok(!left.id.equals(right.id));
        assert.deepEqual(digestChunk(hashes, Buffer.from(before)), left, 'same content, same digest');
      }),
      { numRuns: 60 },
    );
  });

  test(`a digest stays as it was when the next one is made and the chunk's buffer is used again (${algorithm})`, () => {
    const plain = noise({ seed: 1, length: 3 * subChunkBytes });
    const first = digestChunk(hashes, plain);
    const copy = { id: Buffer.from(first.id), subChunkHashes: Buffer.from(first.subChunkHashes) };
    plain.fill(7);
    digestChunk(hashes, plain);
    assert.deepEqual(first, copy);
  });

  test(`content of another length is another chunk, though zeros make the difference (${algorithm})`, () => {
    const ids = [0, 1, 2, subChunkBytes - 1, subChunkBytes, subChunkBytes + 1, 2 * subChunkBytes].map((length) =>
      digestChunk(hashes, Buffer.alloc(length)).id.toString('hex'),
    );
    assert.equal(new Set(ids).size, ids.length);
  });

  test(`an empty chunk has an id and no sub-chunks (${algorithm})`, () => {
    const { id, subChunkHashes } = digestChunk(hashes, Buffer.alloc(0));
    assert.equal(subChunkHashes.length, 0);
    assert.ok(id.equals(hashes.list(Buffer.alloc(0))));
    assert.deepEqual(changedSubChunks(subChunkHashes, subChunkHashes), []);
  });
}

test('a chunk of one sub-chunk does not have the id that is its only hash', () => {
  const { id, subChunkHashes } = digestChunk(hashesOf('blake3'), noise({ seed: 1, length: 100 }));
  assert.equal(subChunkHashes.length, hashBytes);
  assert.ok(!id.equals(subChunkHashes));
});

test('what changed between two lists is every sub-chunk whose hash differs, ascending; none when there are more or fewer', () => {
  const list = fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 64 });
  fc.assert(
    fc.property(list, list, (left, right) => {
      const [before, after] = [left, right].map((marks) =>
        Buffer.concat(marks.map((mark) => Buffer.alloc(hashBytes, mark))),
      );
      const due =
        left.length === right.length
          ? left.flatMap((mark, index) => (mark === right[index] ? [] : [index]))
          : undefined;
      assert.deepEqual(changedSubChunks(before!, after!), due);
    }),
  );
});

test('a difference in any byte of a hash counts', () => {
  const before = noise({ seed: 1, length: 3 * hashBytes });
  for (let at = 0; at < before.length; at += 1) {
    const after = Buffer.from(before);
    after[at]! ^= 1;
    assert.deepEqual(changedSubChunks(before, after), [Math.floor(at / hashBytes)]);
  }
});
