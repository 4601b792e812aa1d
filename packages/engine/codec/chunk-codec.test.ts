import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, KiB, MiB } from '@holdfast/base';
import { noise, text } from '@holdfast/testing';
import { hashAlgorithms } from '../chunk/hash.ts';
import { flips, testKeys } from '../wire-fixture.ts';
import { ChunkCodec, type EncodedFrame } from './chunk-codec.ts';
import { decodeFrame, type FrameKind, frameHeaderBytes, frameKinds } from './frame.ts';
import { tagBytes } from './sealing.ts';

const isCorrupt = (error: unknown) => hasCode(error, 'chunk_corrupt');
const kinds = Object.keys(frameKinds) as FrameKind[];

async function encodeWhole(
  codec: ChunkCodec,
  kind: FrameKind,
  plain: Buffer,
): Promise<EncodedFrame & { bytes: Buffer }> {
  const frame = await codec.encode({ kind, id: codec.idOf(kind, plain), plain, level: 1 });
  const bytes = Buffer.concat(frame.parts);
  assert.equal(bytes.length, frame.storedBytes);
  assert.ok(bytes.length <= plain.length + frameHeaderBytes + tagBytes);
  return { ...frame, bytes };
}

for (const encrypted of [false, true]) {
  for (const algorithm of hashAlgorithms) {
    const codec = new ChunkCodec({ keys: testKeys({ encrypted }), algorithm });
    const what = `${algorithm}, ${encrypted ? 'encrypted' : 'not encrypted'}`;

    test(`content of every kind and size comes back (${what})`, async () => {
      const sizes = [0, 1, 100, 32 * KiB, 32 * KiB + 1, 64 * KiB - 1, 64 * KiB, MiB, MiB + 1, 4 * MiB];
      // All at once: contexts and buffers must not be shared by mistake.
      const jobs = sizes.flatMap((length, index) => [
        noise({ seed: index + 1, length }),
        text({ seed: index, length }),
      ]);
      await Promise.all(
        jobs.map(async (plain, index) => {
          const kind = kinds[index % kinds.length]!;
          const { bytes, id } = await encodeWhole(codec, kind, plain);
          const back = await codec.decode(Buffer.concat([bytes, Buffer.alloc(9, 1)]), { kind, id });
          assert.ok(back.equals(plain), `${plain.length} bytes as ${kind}`);
        }),
      );
    });

    test(`what does not compress is kept raw, what does is not (${what})`, async () => {
      const raw = await encodeWhole(codec, 'data', noise({ seed: 1, length: 64 * KiB }));
      assert.equal(decodeFrame(raw.bytes).header.compression, 'raw');
      const packed = await encodeWhole(codec, 'data', text({ seed: 1, length: 64 * KiB }));
      assert.equal(decodeFrame(packed.bytes).header.compression, 'zstd');
      assert.ok(packed.storedBytes < 1000);
    });

    test(`a flipped bit anywhere in a frame, and every truncation, is chunk_corrupt (${what})`, async () => {
      for (const plain of [noise({ seed: 3, length: 200 }), text({ seed: 3, length: 40 * KiB })]) {
        const { bytes, id } = await encodeWhole(codec, 'data', plain);
        for (const { flipped, offset } of flips(bytes)) {
          const back = await codec.decode(flipped, { kind: 'data', id }).catch((error: unknown) => {
            assert.ok(isCorrupt(error), `offset ${offset}`);
            return undefined;
          });
          // zstd has bits that mean nothing; the content is what the id proves.
          if (back) assert.ok(back.equals(plain), `offset ${offset}`);
        }
        for (let length = 0; length < bytes.length; length += 1) {
          await assert.rejects(codec.decode(bytes.subarray(0, length), { kind: 'data', id }), isCorrupt);
        }
        const { bytes: after, id: next } = await encodeWhole(codec, 'data', plain);
        assert.ok(
          (await codec.decode(after, { kind: 'data', id: next })).equals(plain),
          'damage leaves no trace behind',
        );
      }
    });
  }
}

test('a frame of another kind or content than expected is chunk_corrupt', async () => {
  const codec = new ChunkCodec({ keys: testKeys({ encrypted: false }), algorithm: 'blake3' });
  const { bytes, id } = await encodeWhole(codec, 'data', Buffer.from('content'));
  await assert.rejects(codec.decode(bytes, { kind: 'mapPage', id }), isCorrupt);
  await assert.rejects(codec.decode(bytes, { kind: 'data', id: codec.idOf('data', Buffer.from('other')) }), isCorrupt);
});

test('with the key of another secret a chunk is corrupt; without any the key is missing', async () => {
  const codec = new ChunkCodec({ keys: testKeys({ encrypted: true }), algorithm: 'blake3' });
  const { bytes, id } = await encodeWhole(codec, 'data', Buffer.from('content'));
  assert.ok(!bytes.includes('content'));
  const stranger = new ChunkCodec({ keys: testKeys({ encrypted: true, secret: 2 }), algorithm: 'blake3' });
  await assert.rejects(stranger.decode(bytes, { kind: 'data', id }), isCorrupt);
  const keyless = new ChunkCodec({ keys: testKeys({ encrypted: false }), algorithm: 'blake3' });
  await assert.rejects(keyless.decode(bytes, { kind: 'data', id }), (error) => hasCode(error, 'key_missing'));
});

test('encryption gives the same content other bytes each time, and leaves pack tables readable without keys', async () => {
  const codec = new ChunkCodec({ keys: testKeys({ encrypted: true }), algorithm: 'blake3' });
  const plain = Buffer.from('content');
  const [one, two] = [await encodeWhole(codec, 'data', plain), await encodeWhole(codec, 'data', plain)];
  assert.ok(one.id.equals(two.id) && !one.bytes.equals(two.bytes));
  const stranger = new ChunkCodec({ keys: testKeys({ encrypted: true, secret: 2 }), algorithm: 'blake3' });
  for (const kind of ['tablePage', 'tableRoot'] as const) {
    const { bytes, id } = await encodeWhole(codec, kind, plain);
    assert.ok((await stranger.decode(bytes, { kind, id })).equals(plain));
  }
});

test('ids of data, of metadata and of another secret never meet', () => {
  const ids = [1, 2].flatMap((secret) => {
    const codec = new ChunkCodec({ keys: testKeys({ encrypted: false, secret }), algorithm: 'blake3' });
    return [codec.idOf('data', Buffer.from('x')), codec.idOf('mapPage', Buffer.from('x'))];
  });
  assert.equal(new Set(ids.map((id) => id.toString('hex'))).size, 4);
});
