import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError, hasCode, KiB } from '@holdfast/base';
import { faultsAt, faultyStore, MemoryStore, noise } from '@holdfast/testing';
import { objectHash } from '../chunk/hash.ts';
import { ChunkCodec, type EncodedFrame } from '../codec/chunk-codec.ts';
import { deriveDomainKeys } from '../repository/domain-keys.ts';
import { packKey } from '../repository/layout.ts';
import { readPackDirectory } from './pack-directory.ts';
import { PackWriter, type PackWriterOptions, type PendingLocation } from './pack-writer.ts';

const keys = deriveDomainKeys({ domain: 'default', epoch: 1, secret: Buffer.alloc(32, 7), encrypted: false });
const codec = new ChunkCodec({ keys, algorithm: 'blake3' });

async function frameOf(plain: Buffer): Promise<EncodedFrame> {
  return await codec.encode({ kind: 'data', id: codec.idOf('data', plain), plain, level: 1 });
}

function writerOn(store: PackWriterOptions['store'], options: Partial<PackWriterOptions> = {}) {
  const packIds: string[] = [];
  let ordinals = 0;
  const writer = new PackWriter({
    store,
    domain: 'default',
    kind: 'data',
    hash: 'blake3',
    nonce: Buffer.alloc(16, 1),
    targetBytes: 64 * KiB,
    uploads: 2,
    nextOrdinal: () => ordinals++,
    onSealed: ({ ordinal, packId }) => {
      packIds[ordinal] = packId;
    },
    ...options,
  });
  return { writer, packIds };
}

test('frames of every size come back from where they were placed, also when many are appended at once', async () => {
  const store = new MemoryStore();
  const { writer, packIds } = writerOn(store);
  // Small ones that compress and large ones that fill a pack alone, so that a pack opened for one is met by another.
  const plains = Array.from({ length: 40 }, (_, index) =>
    index % 3 === 0 ? Buffer.alloc(500 + index, index + 1) : noise({ seed: index, length: (index % 5) * 30 * KiB + 1 }),
  );
  const frames = await Promise.all(plains.map(frameOf));
  const places = await Promise.all(frames.map((frame) => writer.append(frame)));
  await writer.finish();
  for (const [index, place] of places.entries()) {
    const pack = await store.get(packKey({ domain: 'default', kind: 'data', packId: packIds[place.packOrdinal]! }));
    const bytes = pack.subarray(place.offset, place.offset + place.storedBytes);
    const plain = await codec.decode(bytes, { kind: 'data', id: frames[index]!.id });
    assert.ok(plain.equals(plains[index]!));
  }
  await assertDirectories(store, packIds, places, frames);
  assert.equal(writer.written.packs, packIds.length);
});

async function assertDirectories(
  store: MemoryStore,
  packIds: readonly string[],
  places: readonly PendingLocation[],
  frames: readonly EncodedFrame[],
): Promise<void> {
  for (const [ordinal, packId] of packIds.entries()) {
    const key = packKey({ domain: 'default', kind: 'data', packId });
    assert.equal(objectHash('blake3', await store.get(key)).toString('hex'), packId);
    const slots = await readPackDirectory({ store, key, packId });
    const own = places.flatMap((place, index) => (place.packOrdinal === ordinal ? [{ place, index }] : []));
    assert.equal(slots.length, own.length);
    for (const { place, index } of own) {
      const { id, plainBytes } = frames[index]!;
      const { offset, storedBytes } = place;
      assert.deepEqual(slots[place.slot], { id, kind: 'data', offset, storedBytes, plainBytes });
    }
  }
}

test('a frame larger than a pack finds room in a pack that was opened for a smaller one', async () => {
  const [small, large] = [await frameOf(Buffer.from('small')), await frameOf(noise({ seed: 1, length: 100 * KiB }))];
  for (let ticks = 0; ticks < 12; ticks += 1) {
    const store = new MemoryStore();
    const { writer, packIds } = writerOn(store);
    const first = writer.append(small);
    // At one of these moments the pack is open and its opener has not gone on yet.
    for (let tick = 0; tick < ticks; tick += 1) await Promise.resolve();
    const second = writer.append(large);
    const places = await Promise.all([first, second]);
    await writer.finish();
    for (const [index, place] of places.entries()) {
      const pack = await store.get(packKey({ domain: 'default', kind: 'data', packId: packIds[place.packOrdinal]! }));
      const bytes = pack.subarray(place.offset, place.offset + place.storedBytes);
      await codec.decode(bytes, { kind: 'data', id: [small, large][index]!.id });
    }
  }
});

test('an upload that fails fails every later append and finish with its error', async () => {
  const store = faultyStore({
    store: new MemoryStore(),
    script: faultsAt({ 2: { kind: 'fail', code: 'storage_full' } }),
  });
  const { writer } = writerOn(store);
  const isFull = (error: unknown) => hasCode(error, 'storage_full');
  await assert.rejects(async () => {
    for (let seed = 1; seed < 20; seed += 1) await writer.append(await frameOf(noise({ seed, length: 40 * KiB })));
  }, isFull);
  await assert.rejects(writer.finish(), isFull);
  await writer.abandon();
});

test('an abandoned writer has nothing in flight and takes nothing more', async () => {
  const store = faultyStore({ store: new MemoryStore(), script: () => ({ kind: 'slow', ms: 5 }) });
  const { writer } = writerOn(store);
  const frames = await Promise.all([1, 2, 3, 4, 5, 6].map((seed) => frameOf(noise({ seed, length: 60 * KiB }))));
  const appends = Promise.allSettled(frames.map((frame) => writer.append(frame)));
  await new Promise((resolve) => setTimeout(resolve, 2));
  await writer.abandon();
  const begun = store.calls.length;
  await appends;
  await assert.rejects(writer.append(frames[0]!), HoldfastError);
  assert.equal(store.calls.length, begun);
});
