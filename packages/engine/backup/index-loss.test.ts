/** The dedup index is advisory: lost, damaged or lying, it costs uploads and never a byte of a point. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDisk, type MemoryStore, noise } from '@holdfast/testing';
import { indexPrefix, packsPrefix } from '../repository/layout.ts';
import { assertRestores, assertVerifies, backupOf, newRepository, smallChunkBytes } from '../repository-fixture.ts';

const chunk = smallChunkBytes;
const chunks = 8;

async function story() {
  const { store, repository } = await newRepository({ packBytes: 3 * chunk });
  const disk = new MemoryDisk(chunks * chunk);
  disk.write(noise({ seed: 1, length: disk.sizeBytes }), 0);
  const { point } = await backupOf(repository, { vda: disk });
  return { store, repository, disk, point };
}

function keysUnder(store: MemoryStore, prefix: string): readonly string[] {
  return [...store.objects().keys()].filter((key) => key.startsWith(prefix));
}

test('content that the index knows is not uploaded again, and both points need the same packs', async () => {
  const { store, repository, disk } = await story();
  const before = keysUnder(store, packsPrefix('default', 'data'));
  const { point } = await backupOf(repository, { vda: disk }, { resource: 'volumes/b' });
  assert.equal(point.manifest.disks[0]!.counters.deduplicated_chunks, chunks);
  assert.deepEqual(keysUnder(store, packsPrefix('default', 'data')), before);
  await assertRestores(repository, point, { vda: disk });
});

test('without its index a repository uploads again and is right', async () => {
  const { store, repository, disk } = await story();
  for (const key of keysUnder(store, indexPrefix('default'))) await store.delete(key);
  const { point } = await backupOf(repository, { vda: disk }, { resource: 'volumes/b' });
  assert.equal(point.manifest.disks[0]!.counters.new_chunks, chunks);
  await assertRestores(repository, point, { vda: disk });
  await assertVerifies(repository);
});

test('a bit flip anywhere in the index never spoils a point', async () => {
  const { store: start, repository, disk } = await story();
  const [key] = keysUnder(start, indexPrefix('default'));
  const content = start.objects().get(key!)!;
  for (let offset = 0; offset < content.length; offset += 1) {
    const store = start.clone();
    const flipped = Buffer.from(content);
    flipped[offset]! ^= 1 << (offset & 7);
    await store.put(key!, { buffers: [flipped] });
    const damaged = { ...repository, store };
    const { point, warnings } = await backupOf(damaged, { vda: disk }, { resource: 'volumes/b' });
    assert.deepEqual(warnings, []);
    await assertRestores(damaged, point, { vda: disk });
  }
});

test('an index that names packs which vanished is not believed: the content goes up again', async () => {
  const { store, repository, disk } = await story();
  const packs = keysUnder(store, packsPrefix('default', 'data'));
  await store.delete(packs[0]!);
  const torn = store.objects().get(packs[1]!)!;
  await store.put(packs[1]!, { buffers: [torn.subarray(0, 40)] });
  const { point } = await backupOf(repository, { vda: disk }, { resource: 'volumes/b' });
  const { new_chunks, deduplicated_chunks } = point.manifest.disks[0]!.counters;
  assert.ok(new_chunks > 0 && deduplicated_chunks > 0, `${new_chunks} new, ${deduplicated_chunks} known`);
  await assertRestores(repository, point, { vda: disk });
});

test('a point with the content of another resource survives when that one is gone', async () => {
  const { store, repository, disk, point: first } = await story();
  const { point } = await backupOf(repository, { vda: disk }, { resource: 'volumes/b' });
  await store.delete(first.key);
  await assertRestores(repository, point, { vda: disk });
  await assertVerifies(repository);
});
