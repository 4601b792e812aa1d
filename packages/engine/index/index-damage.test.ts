import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '@holdfast/testing';
import { openChunkIndex } from './chunk-index.ts';
import type { ChunkLocation } from './chunk-location.ts';
import type { IndexDamage } from './damage.ts';
import { idOf, locationOf, prefix, publishChunks, runKeys } from './index-fixture.ts';
import { buildSyntheticRun, syntheticChunks } from './synthetic-run.ts';

type Chunk = { readonly id: Buffer; readonly location: ChunkLocation };

/**
 * Looks every chunk up: each must be right or absent, and absent only when damage was reported.
 * @returns how many were found
 */
async function foundOrReported(store: MemoryStore, chunks: readonly Chunk[], what: string): Promise<number> {
  const damages: IndexDamage[] = [];
  const index = await openChunkIndex({ store, prefix, onDamage: (damage) => damages.push(damage) });
  let found = 0;
  for (const { id, location } of chunks) {
    const answer = await index.lookup(id);
    if (answer === undefined) continue;
    assert.deepEqual(answer, location, what);
    found += 1;
  }
  for (let stranger = 0; stranger < 5; stranger += 1) {
    assert.equal(await index.lookup(idOf(`stranger ${stranger}`)), undefined, what);
  }
  if (found < chunks.length) assert.ok(damages.length > 0, `${what}: chunks are missing and nobody was told`);
  return found;
}

async function smallRun(): Promise<{ store: MemoryStore; key: string; bytes: Buffer; chunks: readonly Chunk[] }> {
  const store = new MemoryStore();
  const names = Array.from({ length: 40 }, (_, name) => name);
  await publishChunks({ store, names, pack: 'a' });
  const [key] = runKeys(store);
  const chunks = names.map((name) => ({ id: idOf(name), location: locationOf(name, 'a') }));
  return { store, key: key!, bytes: store.objects().get(key!)!, chunks };
}

test('a bit flipped anywhere in a run never gives a wrong location', async () => {
  const { store, key, bytes, chunks } = await smallRun();
  assert.equal(await foundOrReported(store, chunks, 'whole'), chunks.length);
  for (let at = 0; at < bytes.length; at += 1) {
    const flipped = Buffer.from(bytes);
    flipped[at]! ^= 1 << (at % 8);
    await store.put(key, { buffers: [flipped] });
    await foundOrReported(store, chunks, `bit ${at % 8} of byte ${at}`);
  }
});

test('a run cut off anywhere, or with bytes too many, is absent', async () => {
  const { store, key, bytes, chunks } = await smallRun();
  for (let length = 0; length < bytes.length; length += 13) {
    await store.put(key, { buffers: [bytes.subarray(0, length)] });
    assert.equal(await foundOrReported(store, chunks, `${length} bytes`), 0);
  }
  await store.put(key, { buffers: [bytes, Buffer.alloc(1)] });
  assert.equal(await foundOrReported(store, chunks, 'one byte too many'), 0);
});

test('one damaged block of a large run costs its own entries and no others', async () => {
  const store = new MemoryStore();
  const entries = 60_000;
  const key = `${prefix}000000000001-0123456789abcdef`;
  await buildSyntheticRun({ store, key, entries, seed: 5 });
  const bytes = Buffer.from(store.objects().get(key)!);
  bytes[Math.floor(bytes.length / 2)]! ^= 0x10;
  await store.put(key, { buffers: [bytes] });
  // The middle of the file lies in the second of the four shards, or at the border of the third.
  const chunks = [1, 2].flatMap((shard) => syntheticChunks({ entries, seed: 5, shard }));
  const found = await foundOrReported(store, chunks, 'one bit');
  assert.ok(found < chunks.length && found >= chunks.length - 85, `${found} of ${chunks.length}`);
});

test('a block that stands in the place of another one fails, though it is whole in itself', async () => {
  const store = new MemoryStore();
  const entries = 16_000;
  const key = `${prefix}000000000001-0123456789abcdef`;
  await buildSyntheticRun({ store, key, entries, seed: 6 });
  const bytes = Buffer.from(store.objects().get(key)!);
  const chunks = syntheticChunks({ entries, seed: 6, shard: 0 });
  const blockBytes = 85 * 48 + 4;
  const first = bytes.indexOf(chunks.map(({ id }) => id).reduce((low, id) => (id.compare(low) < 0 ? id : low)));
  const at = first + 20 * blockBytes;
  const block = Buffer.from(bytes.subarray(at, at + blockBytes));
  bytes.copy(bytes, at, at + blockBytes, at + 2 * blockBytes);
  block.copy(bytes, at + blockBytes);
  await store.put(key, { buffers: [bytes] });
  assert.equal(await foundOrReported(store, chunks, 'swapped'), entries - 2 * 85);
});

test('a run that vanishes while it is open is absent and told once', async () => {
  const { store, key, chunks } = await smallRun();
  const damages: IndexDamage[] = [];
  const index = await openChunkIndex({
    store,
    prefix,
    memoryBudgetBytes: 0,
    onDamage: (damage) => damages.push(damage),
  });
  assert.deepEqual(await index.lookup(chunks[0]!.id), chunks[0]!.location);
  await store.delete(key);
  for (const { id } of chunks) assert.equal(await index.lookup(id), undefined);
  assert.deepEqual(damages, [{ key, reason: 'vanished', detail: `There is no object ${key}.` }]);
});

test('a run of a newer version is left alone and told', async () => {
  const { store, key, bytes, chunks } = await smallRun();
  const newer = Buffer.from(bytes);
  newer.writeUInt16LE(2, 4);
  await store.put(key, { buffers: [newer] });
  assert.equal(await foundOrReported(store, chunks, 'newer'), 0);
  assert.deepEqual(runKeys(store), [key]);
});
