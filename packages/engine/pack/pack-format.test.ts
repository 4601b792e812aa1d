import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { type FrameKind, frameKinds } from '../codec/frame.ts';
import { bytes, flips, record, u32 } from '../wire-fixture.ts';
import {
  decodePackDirectory,
  decodePackTrailer,
  encodePackHeader,
  encodePackTail,
  type PackSlot,
  packHeaderBytes,
  packTrailerBytes,
} from './pack-format.ts';

const slot: fc.Arbitrary<PackSlot> = record({
  id: bytes(32),
  kind: fc.constantFrom(...(Object.keys(frameKinds) as FrameKind[])),
  offset: u32,
  storedBytes: u32,
  plainBytes: u32,
});

function decodeTail(tail: Buffer) {
  const trailer = decodePackTrailer(tail.subarray(Math.max(0, tail.length - packTrailerBytes)), 'p');
  return { trailer, slots: decodePackDirectory(tail.subarray(0, tail.length - packTrailerBytes), trailer, 'p') };
}

const isCorrupt = (error: unknown) => hasCode(error, 'chunk_corrupt');

test('directory and trailer are read back as they were written', () => {
  fc.assert(
    fc.property(fc.array(slot, { maxLength: 20 }), u32, (slots, directoryOffset) => {
      const { trailer, slots: back } = decodeTail(encodePackTail(slots, directoryOffset));
      assert.deepEqual(back, slots);
      assert.equal(trailer.directoryOffset, directoryOffset);
      assert.equal(trailer.slotCount, slots.length);
    }),
  );
});

test('a flipped bit or a truncation of directory or trailer is chunk_corrupt', () => {
  fc.assert(
    fc.property(fc.array(slot, { maxLength: 3 }), u32, (slots, directoryOffset) => {
      const tail = encodePackTail(slots, directoryOffset);
      for (const { flipped } of flips(tail)) assert.throws(() => decodeTail(flipped), isCorrupt);
      for (let cut = 1; cut <= tail.length; cut += 1) {
        assert.throws(() => decodeTail(tail.subarray(cut)), isCorrupt);
        assert.throws(() => decodeTail(tail.subarray(0, tail.length - cut)), isCorrupt);
      }
    }),
    { numRuns: 10 },
  );
});

test('headers of packs of other sessions, ordinals or kinds differ', () => {
  const headers = [1, 2].flatMap((nonce) =>
    [0, 1, 0xffff_ffff].flatMap((ordinal) =>
      (['data', 'meta'] as const).map((kind) => encodePackHeader({ kind, ordinal, nonce: Buffer.alloc(16, nonce) })),
    ),
  );
  assert.ok(headers.every(({ length }) => length === packHeaderBytes));
  assert.equal(new Set(headers.map((header) => header.toString('hex'))).size, headers.length);
});
