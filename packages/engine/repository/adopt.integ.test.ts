/** A copy of the storage's directory alone is a repository: nothing on the first machine is needed. */
import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { LocalStore } from '@holdfast/storage';
import { MemoryDisk, noise, temporaryDirectory, text } from '@holdfast/testing';
import { assertRestores, assertVerifies, backupOf, passphrase, smallChunkBytes } from '../repository-fixture.ts';
import { listSessions } from '../session/session.ts';
import { adoptRepository } from './adopt.ts';
import { initRepository, openRepository } from './repository.ts';

const chunk = smallChunkBytes;

for (const key of [undefined, passphrase]) {
  test(`adopt on a copy of the directory lists and restores everything and knows all content (${key ? 'encrypted' : 'not encrypted'})`, async () => {
    await using directory = await temporaryDirectory();
    const disk = new MemoryDisk(12 * chunk + 5);
    disk.write(noise({ seed: 1, length: 8 * chunk }), 0);
    disk.write(text({ seed: 1, length: 3 * chunk }), 9 * chunk);
    const kept = new Map<string, MemoryDisk>();
    {
      await using store = await LocalStore.open({ directory: join(directory.path, 'first'), create: true });
      await initRepository({ store, chunkBytes: chunk, passphrase: key });
      const repository = await openRepository({ store, passphrase: key });
      const first = await backupOf(repository, { vda: disk });
      kept.set(first.point.manifest.id, disk.clone());
      disk.write(noise({ seed: 2, length: 2 * chunk }), 2 * chunk);
      const changed = { vda: [{ offset: 2 * chunk, length: 2 * chunk }] };
      const second = await backupOf(repository, { vda: disk }, { parent: first.point, changed });
      kept.set(second.point.manifest.id, disk.clone());
    }
    await cp(join(directory.path, 'first'), join(directory.path, 'second'), { recursive: true });
    await rm(join(directory.path, 'first'), { recursive: true });
    await rm(join(directory.path, 'second/d/default/idx'), { recursive: true });

    await using store = await LocalStore.open({ directory: join(directory.path, 'second') });
    const repository = await openRepository({ store, passphrase: key });
    const report = await adoptRepository({ repository });
    assert.deepEqual(
      report.points.map(({ manifest }) => manifest.id),
      [...kept.keys()],
    );
    assert.deepEqual(report.damaged, []);
    assert.deepEqual([...report.unreadablePacks, ...report.unreadableTables], []);
    for (const point of await assertVerifies(repository)) {
      await assertRestores(repository, point, { vda: kept.get(point.manifest.id)! });
    }
    for (const [id, content] of kept) {
      const { point } = await backupOf(repository, { vda: content }, { resource: `volumes/again_${id}` });
      assert.equal(point.manifest.disks[0]!.counters.new_chunks, 0, 'content that was there went up again');
      await assertRestores(repository, point, { vda: content });
    }
    const again = await adoptRepository({ repository });
    assert.equal(again.points.length, 4);
    assert.equal(again.indexEntries, report.indexEntries);
    assert.deepEqual(await listSessions(repository), []);
  });
}

test('adopt names what it could not read and takes the rest into use', async () => {
  await using directory = await temporaryDirectory();
  await using store = await LocalStore.open({ directory: directory.path });
  await initRepository({ store, chunkBytes: chunk });
  const repository = await openRepository({ store });
  const disks = [1, 2].map((seed) => {
    const disk = new MemoryDisk(2 * chunk);
    disk.write(noise({ seed, length: 2 * chunk }), 0);
    return disk;
  });
  const lost = await backupOf(repository, { vda: disks[0]! });
  const packs = (await Array.fromAsync(store.list('d/default/data/'))).map(({ key }) => key);
  const kept = await backupOf(repository, { vda: disks[1]! }, { resource: 'volumes/b' });
  await store.delete(packs[0]!);
  await store.put(`${kept.point.key.slice(0, -1)}x`, { buffers: [Buffer.from('not a manifest')] });
  await store.put(lost.point.key.replace('volumes/a', 'volumes/c'), { buffers: [Buffer.from('torn')] });
  const report = await adoptRepository({ repository });
  assert.equal(report.points.length, 2);
  assert.equal(report.damaged.length, 1);
  assert.deepEqual(report.unreadablePacks, [packs[0]!.split('/').at(-1)]);
  assert.equal(report.indexEntries, 2);
  await assertRestores(repository, kept.point, { vda: disks[1]! });
  // What was lost comes back with the next backup of that disk.
  const { point } = await backupOf(repository, { vda: disks[0]! }, { resource: 'volumes/d' });
  await assertRestores(repository, point, { vda: disks[0]! });
});
