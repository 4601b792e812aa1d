/** When a changed chunk is stored as a patch, when it is whole, and that every point comes back all the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KiB } from '@holdfast/base';
import { MemoryDisk, type MemoryStore, noise } from '@holdfast/testing';
import { subChunkBytes } from '../chunk/chunk-digest.ts';
import { assertRestores, assertVerifies, backupOf, newRepository } from '../repository-fixture.ts';
import { packsPrefix } from '../repository/layout.ts';
import {
  asSplit,
  assertEveryWay,
  assertSound,
  diskOfNoise,
  entriesOf,
  formats,
  kindsOf,
  nameOf,
  patchedChunkBytes,
  restoreOver,
  touch,
} from './patched-chunks-fixture.ts';

/** Map page, map root, pack table, manifest, index: what any increment of a small disk puts beside its chunks. */
const besideChunksBytes = 16 * KiB;

function bytesOf(store: MemoryStore): number {
  return [...store.objects().values()].reduce((sum, { length }) => sum + length, 0);
}

function dataPacksOf(store: MemoryStore): readonly string[] {
  return [...store.objects().keys()].filter((key) => key.startsWith(packsPrefix('default', 'data')));
}

for (const format of formats) {
  const { chunkBytes } = format;
  const count = chunkBytes / subChunkBytes;
  const quarter = count / 4;

  test(`up to a quarter of a chunk's sub-chunks goes as a patch, more goes whole (${nameOf(format)})`, async () => {
    const { store, repository } = await newRepository(format);
    const disk = diskOfNoise(4 * chunkBytes);
    const first = { point: (await backupOf(repository, { vda: disk })).point, disk: disk.clone() };
    const before = bytesOf(store);
    const few = Array.from({ length: quarter }, (_, index) => count + 2 * index);
    const many = Array.from({ length: quarter + 1 }, (_, index) => 2 * count + index);
    const changed = { vda: [...touch(disk, few, 2), ...touch(disk, many, 3)] };
    const { point } = await backupOf(repository, { vda: disk }, { parent: first.point, changed });
    assert.deepEqual(await kindsOf(repository, point), ['data', 'split', 'data', 'data']);
    const put = bytesOf(store) - before;
    const due = quarter * subChunkBytes + chunkBytes;
    assert.ok(put >= due && put < due + besideChunksBytes, `${put} bytes for ${due}`);
    const [old, now] = [await entriesOf(repository, first.point), await entriesOf(repository, point)];
    assert.deepEqual(old[1], {
      kind: 'data',
      id: Buffer.from((old[1] as { id: Buffer }).id),
      location: asSplit(now[1]).base,
    });
    const { new_chunks, deduplicated_chunks, new_bytes } = point.manifest.disks[0]!.counters;
    assert.deepEqual({ new_chunks, deduplicated_chunks }, { new_chunks: 2, deduplicated_chunks: 0 });
    assert.equal(new_bytes, 33 + quarter + due);
    await assertEveryWay(repository, first);
    await assertEveryWay(repository, { point, disk });
    await assertVerifies(repository);
  });

  test(`a patched chunk is compared with the same base ever after, until too much differs (${nameOf(format)})`, async () => {
    const { repository } = await newRepository(format);
    const disk = diskOfNoise(2 * chunkBytes);
    let { point } = await backupOf(repository, { vda: disk });
    const base = (await entriesOf(repository, point))[0] as { location: unknown };
    const kept = [{ point, disk: disk.clone() }];
    for (let round = 0; round <= quarter; round += 1) {
      // The sub-chunks of all rounds before differ from the base too.
      const changed = { vda: touch(disk, [round], 10) };
      ({ point } = await backupOf(repository, { vda: disk }, { parent: point, changed }));
      kept.push({ point, disk: disk.clone() });
      const [entry] = await entriesOf(repository, point);
      if (round < quarter) assert.deepEqual(asSplit(entry).base, base.location);
      else assert.equal(entry!.kind, 'data');
    }
    const changed = { vda: touch(disk, [count - 1], 20) };
    ({ point } = await backupOf(repository, { vda: disk }, { parent: point, changed }));
    const [entry] = await entriesOf(repository, point);
    const [whole] = await entriesOf(repository, kept.at(-1)!.point);
    assert.deepEqual(
      asSplit(entry).base,
      (whole as { location: unknown }).location,
      'the new whole chunk is the new base',
    );
    kept.push({ point, disk });
    for (const one of kept) await assertEveryWay(repository, one);
    await assertVerifies(repository);
  });
}

for (const chunkBytes of patchedChunkBytes) {
  const count = chunkBytes / subChunkBytes;
  const size = `${chunkBytes / KiB} KiB chunks`;

  /** A disk of four chunks, and a point in which the second is patched. */
  const story = async () => {
    const { store, repository } = await newRepository({ chunkBytes });
    const disk = diskOfNoise(4 * chunkBytes);
    const first = { point: (await backupOf(repository, { vda: disk })).point, disk: disk.clone() };
    const changed = { vda: touch(disk, [count + 1], 2) };
    const { point } = await backupOf(repository, { vda: disk }, { parent: first.point, changed });
    asSplit((await entriesOf(repository, point))[1]);
    return { store, repository, disk, first, second: { point, disk: disk.clone() } };
  };

  for (const parentKnown of [true, false]) {
    test(`reading all of an unchanged disk keeps its patched chunks and puts no chunk (${size}, ${parentKnown ? 'its parent known' : 'a new series'})`, async () => {
      const { store, repository, disk, second } = await story();
      const packs = dataPacksOf(store);
      const parent = parentKnown ? second.point : undefined;
      const { point } = await backupOf(repository, { vda: disk }, { parent, tellsHoles: false });
      assert.deepEqual(point.manifest.roots, second.point.manifest.roots);
      assert.deepEqual(dataPacksOf(store), packs);
      const { counters } = point.manifest.disks[0]!;
      assert.deepEqual(
        { unchanged: counters.unchanged_chunks, new: counters.new_chunks, bytes: counters.new_bytes },
        { unchanged: 4, new: 0, bytes: 0 },
      );
      await assertEveryWay(repository, { point, disk });
    });
  }

  test(`a bitmap that names a patched chunk which did not change keeps it (${size})`, async () => {
    const { store, repository, disk, second } = await story();
    const packs = dataPacksOf(store);
    const changed = { vda: [{ offset: 0, length: disk.sizeBytes }] };
    const { point } = await backupOf(repository, { vda: disk }, { parent: second.point, changed });
    assert.deepEqual(point.manifest.roots, second.point.manifest.roots);
    assert.deepEqual(dataPacksOf(store), packs);
  });

  test(`a chunk that is again what it was is the whole chunk that is there, and nothing is put (${size})`, async () => {
    const { store, repository, first, second } = await story();
    const packs = dataPacksOf(store);
    const changed = { vda: [{ offset: chunkBytes, length: chunkBytes }] };
    const { point } = await backupOf(repository, { vda: first.disk }, { parent: second.point, changed });
    assert.deepEqual(await entriesOf(repository, point), await entriesOf(repository, first.point));
    assert.deepEqual(dataPacksOf(store), packs);
    assert.equal(point.manifest.disks[0]!.counters.deduplicated_chunks, 1);
    await assertEveryWay(repository, { point, disk: first.disk });
  });

  test(`a chunk that is again what it was restores also without the index (${size})`, async () => {
    const { store, repository, first, second } = await story();
    for (const key of store.objects().keys()) if (key.includes('/idx/')) await store.delete(key);
    const changed = { vda: [{ offset: chunkBytes, length: chunkBytes }] };
    const { point } = await backupOf(repository, { vda: first.disk }, { parent: second.point, changed });
    await assertEveryWay(repository, { point, disk: first.disk });
    await assertVerifies(repository);
  });

  test(`sub-chunks that become zero are in the patch, a chunk that is all zero is ZERO (${size})`, async () => {
    for (const hole of [true, false]) {
      const { repository, disk, second } = await story();
      const zero = (offset: number, length: number) =>
        hole ? disk.zero({ offset, length }) : disk.write(Buffer.alloc(length), offset);
      const changedAll = { vda: [{ offset: 0, length: disk.sizeBytes }] };
      zero(0, subChunkBytes);
      const third = await backupOf(repository, { vda: disk }, { parent: second.point, changed: changedAll });
      assert.deepEqual(await kindsOf(repository, third.point), ['split', 'split', 'data', 'data']);
      assert.ok(asSplit((await entriesOf(repository, third.point))[0]).patch.storedBytes < 400, 'zeros cost nothing');
      await assertEveryWay(repository, { point: third.point, disk });
      zero(0, 2 * chunkBytes);
      const fourth = await backupOf(repository, { vda: disk }, { parent: third.point, changed: changedAll });
      assert.deepEqual(await kindsOf(repository, fourth.point), ['zero', 'zero', 'data', 'data']);
      await assertEveryWay(repository, { point: fourth.point, disk });
      touch(disk, [0], 5);
      const fifth = await backupOf(repository, { vda: disk }, { parent: fourth.point, changed: changedAll });
      assert.deepEqual(await kindsOf(repository, fifth.point), ['data', 'zero', 'data', 'data']);
      await assertEveryWay(repository, { point: fifth.point, disk });
      await assertEveryWay(repository, second);
      await assertVerifies(repository);
    }
  });

  test(`in place, patched chunks that are right stay, and only what differs is written (${size})`, async () => {
    const { repository, first, second } = await story();
    const right = second.disk.clone();
    const kept = await restoreOver(repository, second.point, right);
    assert.deepEqual(
      { kept: kept.keptBytes, written: kept.writtenBytes, fetched: kept.fetchedBytes },
      { kept: 4 * chunkBytes, written: 0, fetched: 0 },
    );
    for (const [from, to] of [
      [first, second],
      [second, first],
    ] as const) {
      const target = from.disk.clone();
      const outcome = await restoreOver(repository, to.point, target);
      assert.deepEqual(
        { kept: outcome.keptBytes, written: outcome.writtenBytes },
        { kept: 3 * chunkBytes, written: chunkBytes },
      );
      assert.equal(to.disk.differsFrom(target), undefined);
    }
  });

  test(`the last, shorter chunk is patched when it has four sub-chunks or more (${size})`, async () => {
    const tails = [1, 3 * subChunkBytes, 3 * subChunkBytes + 1, chunkBytes - subChunkBytes + 5, chunkBytes - 1];
    for (const tailBytes of tails) {
      const { repository } = await newRepository({ chunkBytes });
      const disk = diskOfNoise(chunkBytes + tailBytes);
      const { point: parent } = await backupOf(repository, { vda: disk });
      const last = Math.ceil(disk.sizeBytes / subChunkBytes) - 1;
      const changed = { vda: touch(disk, [last], 2) };
      const { point } = await backupOf(repository, { vda: disk }, { parent, changed });
      const due = Math.ceil(tailBytes / subChunkBytes) >= 4 ? 'split' : 'data';
      assert.deepEqual(await kindsOf(repository, point), ['data', due], `${tailBytes} bytes`);
      await assertEveryWay(repository, { point, disk });
      await assertVerifies(repository);
    }
  });

  test(`a resized disk keeps its patched chunks; its last one is whole when its length changed (${size})`, async () => {
    const { repository, disk, second } = await story();
    let parent = second.point;
    const kept = [second];
    for (const sizeBytes of [
      4 * chunkBytes + 1,
      6 * chunkBytes,
      4 * chunkBytes - 7,
      2 * chunkBytes,
      2 * chunkBytes - 1,
      3 * chunkBytes,
    ]) {
      disk.resize(sizeBytes);
      const { point } = await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } });
      const [, entry] = await entriesOf(repository, point);
      if (sizeBytes >= 2 * chunkBytes && parent.manifest.disks[0]!.size_bytes >= 2 * chunkBytes) asSplit(entry);
      else assert.equal(entry!.kind, 'data', `${sizeBytes} bytes`);
      kept.push({ point, disk: disk.clone() });
      parent = point;
    }
    for (const one of kept) await assertEveryWay(repository, one);
    await assertVerifies(repository);
  });

  test(`equal chunks that change alike, in one disk and in two, are right however they meet (${size})`, async () => {
    const { repository } = await newRepository({ chunkBytes });
    const vda = new MemoryDisk(6 * chunkBytes);
    const content = noise({ seed: 1, length: chunkBytes });
    for (let chunk = 0; chunk < 6; chunk += 1) vda.write(content, chunk * chunkBytes);
    // The last two differ from the others, but not in what they become.
    touch(vda, [4 * count, 5 * count + 1], 7);
    const vdb = vda.clone();
    const { point: parent } = await backupOf(repository, { vda, vdb });
    const before = { vda: vda.clone(), vdb: vdb.clone() };
    for (const disk of [vda, vdb]) {
      for (let chunk = 0; chunk < 6; chunk += 1) {
        disk.write(content, chunk * chunkBytes);
        disk.write(Buffer.from('changed alike'), chunk * chunkBytes + 5);
      }
    }
    const changed = { vda: [{ offset: 0, length: vda.sizeBytes }], vdb: [{ offset: 0, length: vdb.sizeBytes }] };
    const { point } = await backupOf(repository, { vda, vdb }, { parent, changed });
    const entries = [...(await entriesOf(repository, point, 0)), ...(await entriesOf(repository, point, 1))];
    const ids = new Set(entries.map((entry) => ('id' in entry ? entry.id.toString('hex') : entry.kind)));
    assert.equal(ids.size, 1);
    await assertRestores(repository, point, { vda, vdb });
    await assertRestores(repository, parent, before);
    await assertSound(repository, point);
    await assertVerifies(repository);
  });
}

test('chunks of fewer than four sub-chunks are always whole', async () => {
  for (const chunkBytes of [64 * KiB, 128 * KiB]) {
    const { repository } = await newRepository({ chunkBytes });
    const disk = diskOfNoise(4 * chunkBytes);
    const { point: parent } = await backupOf(repository, { vda: disk });
    const changed = { vda: touch(disk, [0], 2) };
    const { point } = await backupOf(repository, { vda: disk }, { parent, changed });
    assert.deepEqual(await kindsOf(repository, point), ['data', 'data', 'data', 'data']);
    await assertRestores(repository, point, { vda: disk });
  }
});

test('the same content elsewhere, or of another resource, is not found in a patch and goes up whole', async () => {
  const [chunkBytes] = patchedChunkBytes;
  const { repository } = await newRepository({ chunkBytes });
  const disk = diskOfNoise(2 * chunkBytes);
  const { point: parent } = await backupOf(repository, { vda: disk });
  const changed = { vda: touch(disk, [0], 2) };
  const { point } = await backupOf(repository, { vda: disk }, { parent, changed });
  asSplit((await entriesOf(repository, point))[0]);
  const other = await backupOf(repository, { vda: disk }, { resource: 'volumes/b' });
  assert.deepEqual(await kindsOf(repository, other.point), ['data', 'data']);
  const { new_chunks, deduplicated_chunks } = other.point.manifest.disks[0]!.counters;
  assert.deepEqual({ new_chunks, deduplicated_chunks }, { new_chunks: 1, deduplicated_chunks: 1 });
  await assertRestores(repository, other.point, { vda: disk });
  await assertVerifies(repository);
});
