import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { bytes, flips, record, u32 } from '../wire-fixture.ts';
import {
  decodeFrame,
  encodeFrameHeader,
  type FrameHeader,
  type FrameKind,
  frameHeaderBytes,
  frameKinds,
} from './frame.ts';

const header: fc.Arbitrary<FrameHeader> = record({
  kind: fc.constantFrom(...(Object.keys(frameKinds) as FrameKind[])),
  compression: fc.constantFrom('raw', 'zstd'),
  encryption: fc.constantFrom('none', 'aes-256-gcm'),
  keyEpoch: u32,
  plainBytes: u32,
  payloadBytes: fc.integer({ min: 0, max: 100 }),
  subChunkCount: fc.integer({ min: 0, max: 64 }),
  id: bytes(32),
  salt: bytes(16),
} as const);

const isCorrupt = (error: unknown) => hasCode(error, 'chunk_corrupt');

test('a frame is read back as it was written, whatever follows it', () => {
  fc.assert(
    fc.property(header, fc.nat(50), (written, trailing) => {
      const hashes = Buffer.alloc(written.subChunkCount * 32, 8);
      const payload = Buffer.alloc(written.payloadBytes, 7);
      const stored = [encodeFrameHeader(written), hashes, payload, Buffer.alloc(trailing, 9)];
      const frame = decodeFrame(Buffer.concat(stored));
      assert.deepEqual(frame.header, written);
      assert.ok(frame.subChunkHashes.equals(hashes));
      assert.ok(frame.payload.equals(payload));
    }),
  );
});

test('a flipped bit anywhere in the header is noticed, and so is every truncation', () => {
  fc.assert(
    fc.property(header, (written) => {
      const behind = written.subChunkCount * 32 + written.payloadBytes;
      const whole = Buffer.concat([encodeFrameHeader(written), Buffer.alloc(behind)]);
      for (const { flipped, offset } of flips(whole)) {
        if (offset < frameHeaderBytes) assert.throws(() => decodeFrame(flipped), isCorrupt);
      }
      for (let length = 0; length < whole.length; length += 1) {
        assert.throws(() => decodeFrame(whole.subarray(0, length)), isCorrupt);
      }
    }),
    { numRuns: 10 },
  );
});
