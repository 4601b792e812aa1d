import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { noise } from '@holdfast/testing';
import fc from 'fast-check';
import { bytes } from '../wire-fixture.ts';
import { changedSubChunks, digestChunk, subChunkBytes, subChunkOf } from './chunk-digest.ts';
import { hashBytes, keyedHash } from './hash.ts';
import { applyPatch, decodePatch, encodePatch } from './patch.ts';

const hashes = {
  list: keyedHash('blake3', Buffer.alloc(hashBytes, 1)),
  subChunk: keyedHash('blake3', Buffer.alloc(hashBytes, 2)),
};

const of = (plain: Buffer) => (index: number) => subChunkOf(plain, index);

const isCorrupt = (error: unknown) => hasCode(error, 'chunk_corrupt');

/** A chunk of up to 16 sub-chunks, the last one often short, and which of them change. */
const change = fc
  .record({
    subChunks: fc.integer({ min: 1, max: 16 }),
    cutBytes: fc.oneof(fc.constantFrom(0, 1, subChunkBytes - 1), fc.nat(subChunkBytes - 1)),
    seed: fc.nat(1000),
  })
  .chain(({ subChunks, cutBytes, seed }) =>
    fc.record({
      chunkBytes: fc.constant(subChunks * subChunkBytes - cutBytes),
      changed: fc.subarray(Array.from({ length: subChunks }, (_, index) => index)),
      seed: fc.constant(seed),
    }),
  );

function changedChunk(input: { chunkBytes: number; changed: readonly number[]; seed: number }) {
  const before = noise({ seed: input.seed, length: input.chunkBytes });
  const after = Buffer.from(before);
  for (const index of input.changed) after[Math.min(input.chunkBytes, (index + 1) * subChunkBytes) - 1]! ^= 0xff;
  return { before, after };
}

test('a patch of what changed, applied to what was before, gives what is now, and leaves the base as it was', () => {
  fc.assert(
    fc.property(change, (input) => {
      const { before, after } = changedChunk(input);
      const [left, right] = [digestChunk(hashes, before), digestChunk(hashes, after)];
      const changed = changedSubChunks(left.subChunkHashes, right.subChunkHashes);
      assert.deepEqual(changed, input.changed);
      const patch = decodePatch(encodePatch(left.id, changed, of(after)), after.length);
      assert.ok(patch.baseId.equals(left.id));
      assert.deepEqual(
        patch.subChunks.map(({ index }) => index),
        changed,
      );
      const copy = Buffer.from(before);
      const patched = applyPatch(before, patch);
      assert.ok(patched.equals(after));
      patched.fill(0);
      assert.ok(before.equals(copy));
    }),
    { numRuns: 60 },
  );
});

test('a patch costs 33 bytes, one for each sub-chunk, and their content', () => {
  const plain = noise({ seed: 1, length: 3 * subChunkBytes + 10 });
  const id = Buffer.alloc(hashBytes, 5);
  assert.equal(encodePatch(id, [], of(plain)).length, 33);
  assert.equal(encodePatch(id, [1], of(plain)).length, 34 + subChunkBytes);
  assert.equal(encodePatch(id, [0, 3], of(plain)).length, 35 + subChunkBytes + 10);
});

test('a patch cut anywhere, or longer than it says, is corrupt', () => {
  const chunkBytes = 3 * subChunkBytes + 40;
  const plain = noise({ seed: 1, length: chunkBytes });
  const patch = encodePatch(Buffer.alloc(hashBytes, 5), [3], of(plain));
  for (let length = 0; length < patch.length; length += 1) {
    assert.throws(() => decodePatch(patch.subarray(0, length), chunkBytes), isCorrupt, String(length));
  }
  for (const more of [1, 40, subChunkBytes]) {
    assert.throws(() => decodePatch(Buffer.concat([patch, Buffer.alloc(more)]), chunkBytes), isCorrupt);
  }
  const wide = encodePatch(Buffer.alloc(hashBytes, 5), [0, 2, 3], of(plain));
  fc.assert(
    fc.property(fc.nat(wide.length - 1), (length) => {
      assert.throws(() => decodePatch(wide.subarray(0, length), chunkBytes), isCorrupt);
    }),
  );
});

test('a patch for a chunk of another length is corrupt where the length tells', () => {
  const chunkBytes = 3 * subChunkBytes + 40;
  const patch = encodePatch(Buffer.alloc(hashBytes, 5), [3], of(noise({ seed: 1, length: chunkBytes })));
  for (const other of [0, 1, 3 * subChunkBytes, chunkBytes - 1, chunkBytes + 1, 4 * subChunkBytes]) {
    assert.throws(() => decodePatch(patch, other), isCorrupt, String(other));
  }
});

test('sub-chunks twice, out of order or beyond the chunk are corrupt', () => {
  const id = Buffer.alloc(hashBytes, 5);
  const chunkBytes = 4 * subChunkBytes;
  for (const numbers of [[1, 1], [2, 1], [0, 0], [3, 4], [4], [255], [0, 1, 2, 3, 3]]) {
    const content = Buffer.alloc(numbers.length * subChunkBytes);
    const patch = Buffer.concat([id, Buffer.from([numbers.length, ...numbers]), content]);
    assert.throws(() => decodePatch(patch, chunkBytes), isCorrupt, String(numbers));
  }
  // With just the content that sub-chunks beyond the end have room for: none, or less than none.
  for (const [numbers, contentBytes] of [
    [[4], 0],
    [[3, 4], subChunkBytes],
    [[0, 1, 5], subChunkBytes],
  ] as const) {
    const patch = Buffer.concat([id, Buffer.from([numbers.length, ...numbers]), Buffer.alloc(contentBytes)]);
    assert.throws(() => decodePatch(patch, chunkBytes), isCorrupt, String(numbers));
  }
});

test('any bit turned over is corrupt, names another base, or makes a chunk that its id refuses', () => {
  const chunkBytes = 3 * subChunkBytes + 40;
  const before = noise({ seed: 1, length: chunkBytes });
  const after = Buffer.from(before);
  after[chunkBytes - 1]! ^= 1;
  const id = digestChunk(hashes, before).id;
  const due = digestChunk(hashes, after).id;
  const patch = encodePatch(id, [3], of(after));
  const outcomes = { corrupt: 0, otherBase: 0, refused: 0 };
  for (let at = 0; at < patch.length; at += 1) {
    for (let bit = 0; bit < 8; bit += 1) {
      const damaged = Buffer.from(patch);
      damaged[at]! ^= 1 << bit;
      outcomes[judge({ damaged, before, id, due })] += 1;
    }
  }
  assert.deepEqual(outcomes, { corrupt: 16, otherBase: 8 * hashBytes, refused: 40 * 8 });
});

test('bits turned over in a patch of several sub-chunks: the same', () => {
  const chunkBytes = 4 * subChunkBytes;
  const before = noise({ seed: 1, length: chunkBytes });
  const after = noise({ seed: 2, length: chunkBytes });
  before.copy(after, 0, 0, subChunkBytes);
  const id = digestChunk(hashes, before).id;
  const due = digestChunk(hashes, after).id;
  const patch = encodePatch(id, [1, 2, 3], of(after));
  const anywhere = fc.oneof(fc.nat(hashBytes + 4), fc.nat(patch.length - 1));
  fc.assert(
    fc.property(anywhere, fc.nat(7), (at, bit) => {
      const damaged = Buffer.from(patch);
      damaged[at]! ^= 1 << bit;
      judge({ damaged, before, id, due });
    }),
    { numRuns: 300 },
  );
});

test('bytes that were never a patch are corrupt or make a chunk that fits its length', () => {
  const hostile = fc.record({
    head: bytes(hashBytes),
    count: fc.nat(255),
    numbers: fc.array(fc.nat(20), { maxLength: 6 }),
    contentBytes: fc.oneof(
      fc.nat(3 * subChunkBytes),
      fc.nat(3).map((count) => count * subChunkBytes),
    ),
    chunkBytes: fc.oneof(fc.nat(4 * subChunkBytes), fc.constantFrom(0, 4 * subChunkBytes)),
    trueCount: fc.boolean(),
  });
  fc.assert(
    fc.property(hostile, ({ head, count, numbers, contentBytes, chunkBytes, trueCount }) => {
      const said = Buffer.from([trueCount ? numbers.length : count, ...numbers]);
      const patch = Buffer.concat([head, said, Buffer.alloc(contentBytes, 3)]);
      const base = Buffer.alloc(chunkBytes);
      try {
        assert.equal(applyPatch(base, decodePatch(patch, chunkBytes)).length, chunkBytes);
      } catch (error) {
        if (!isCorrupt(error)) throw error;
      }
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(200), (array, chunkBytes) => {
      try {
        decodePatch(Buffer.from(array), chunkBytes);
      } catch (error) {
        if (!isCorrupt(error)) throw error;
      }
    }),
  );
});

function judge(request: {
  damaged: Buffer;
  before: Buffer;
  id: Buffer;
  due: Buffer;
}): 'corrupt' | 'otherBase' | 'refused' {
  const { damaged, before, id, due } = request;
  try {
    const patch = decodePatch(damaged, before.length);
    if (!patch.baseId.equals(id)) return 'otherBase';
    assert.ok(!digestChunk(hashes, applyPatch(before, patch)).id.equals(due), 'a damaged patch made the right chunk');
    return 'refused';
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    return 'corrupt';
  }
}
