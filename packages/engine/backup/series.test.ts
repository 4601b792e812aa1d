/** Which points belong together, and points of several disks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { MemoryDisk, MemoryTarget, noise } from '@holdfast/testing';
import { findPoint, listPoints } from '../manifest/points.ts';
import { restoreDisk } from '../restore/restore-disk.ts';
import {
  assertRestores,
  assertVerifies,
  backupOf,
  countedUses,
  newRepository,
  smallChunkBytes,
  tableUses,
} from '../repository-fixture.ts';

const chunk = smallChunkBytes;

function diskOfNoise(chunks: number, seed: number): MemoryDisk {
  const disk = new MemoryDisk(chunks * chunk);
  disk.write(noise({ seed, length: chunks * chunk }), 0);
  return disk;
}

test('content that two disks of a point share is stored once', async () => {
  const { repository } = await newRepository();
  const vda = diskOfNoise(6, 1);
  const vdb = vda.clone();
  vdb.resize(9 * chunk);
  vdb.write(noise({ seed: 2, length: chunk }), 8 * chunk);
  const { point } = await backupOf(repository, { vda, vdb });
  const [first, second] = point.manifest.disks;
  assert.equal(first!.counters.new_chunks + second!.counters.new_chunks, 7);
  await assertRestores(repository, point, { vda, vdb });
  assert.deepEqual(await tableUses(repository, point), await countedUses(repository, point));
  const increment = vda.clone();
  increment.zero({ offset: 0, length: 3 * chunk });
  const next = await backupOf(
    repository,
    { vda: increment, vdb },
    { parent: point, changed: { vda: [{ offset: 0, length: 3 * chunk }], vdb: [] } },
  );
  await assertRestores(repository, next.point, { vda: increment, vdb });
  assert.deepEqual(await tableUses(repository, next.point), await countedUses(repository, next.point));
  await assertVerifies(repository);
});

test('equal chunks within a disk are stored once', async () => {
  const { repository } = await newRepository();
  const disk = new MemoryDisk(30 * chunk);
  for (let at = 0; at < 30; at += 1) disk.write(noise({ seed: at % 3, length: chunk }), at * chunk);
  const { point } = await backupOf(repository, { vda: disk });
  const { new_chunks, deduplicated_chunks } = point.manifest.disks[0]!.counters;
  assert.deepEqual({ new_chunks, deduplicated_chunks }, { new_chunks: 3, deduplicated_chunks: 27 });
  await assertRestores(repository, point, { vda: disk });
});

test('a disk added or removed closes the series; the new point is whole and shares what it can', async () => {
  const { repository } = await newRepository();
  const disks = { vda: diskOfNoise(4, 1), vdb: diskOfNoise(4, 2) };
  const one = await backupOf(repository, { vda: disks.vda });
  const two = await backupOf(repository, disks, { parent: one.point, changed: { vda: [], vdb: [] } });
  const three = await backupOf(repository, { vdb: disks.vdb }, { parent: two.point, changed: { vdb: [] } });
  for (const { point, warnings } of [two, three]) {
    assert.equal(warnings.length, 1);
    assert.equal(point.manifest.increment_id, 1);
    assert.equal(point.manifest.parent, null);
    assert.equal(point.manifest.requested, 'full');
  }
  assert.equal(new Set([one, two, three].map(({ point }) => point.manifest.series)).size, 3);
  assert.equal(two.point.manifest.disks.find(({ name }) => name === 'vda')!.counters.new_chunks, 0);
  await assertRestores(repository, two.point, disks);
  await assertRestores(repository, three.point, { vdb: disks.vdb });
  assert.deepEqual(await tableUses(repository, three.point), await countedUses(repository, three.point));
  await assertVerifies(repository);
});

test('disks that come and go with the machine leave the series open: only the new one is read in full', async () => {
  const { repository } = await newRepository({ packBytes: 3 * chunk });
  // Two pages of a map, to be dropped later.
  const disks = { vda: diskOfNoise(8, 1), vdb: new MemoryDisk(300 * chunk) };
  disks.vdb.write(noise({ seed: 2, length: 3 * chunk }), 0);
  disks.vdb.write(noise({ seed: 3, length: 2 * chunk }), 280 * chunk);
  const none = { vda: [], vdb: [], vdc: [] };
  const one = await backupOf(repository, { vda: disks.vda });
  const goingOn = { mayDisksDiffer: true, changed: none };
  // That of the new disk is claimed to be known, and not believed.
  const two = await backupOf(repository, disks, { ...goingOn, parent: one.point });
  const three = await backupOf(repository, { vda: disks.vda, vdc: disks.vdb }, { ...goingOn, parent: two.point });
  const four = await backupOf(repository, { vdc: disks.vdb }, { ...goingOn, parent: three.point });
  const points = [one, two, three, four].map(({ point }) => point);
  assert.deepEqual(
    points.map(({ manifest }) => manifest.disks.map(({ name, actual }) => `${name} ${actual}`).join()),
    ['vda full', 'vda incremental,vdb full', 'vda incremental,vdc full', 'vdc incremental'],
  );
  assert.deepEqual(
    points.map(({ manifest }) => manifest.increment_id),
    [1, 2, 3, 4],
  );
  assert.equal(new Set(points.map(({ manifest }) => manifest.series)).size, 1);
  assert.equal(three.point.manifest.disks[1]!.counters.new_chunks, 0);
  await assertRestores(repository, points[1]!, disks);
  await assertRestores(repository, points[2]!, { vda: disks.vda, vdc: disks.vdb });
  await assertRestores(repository, points[3]!, { vdc: disks.vdb });
  for (const point of points)
    assert.deepEqual(await tableUses(repository, point), await countedUses(repository, point));
  await assertVerifies(repository);
});

test('another chunk size closes the series', async () => {
  const { repository } = await newRepository();
  const vda = diskOfNoise(4, 1);
  const { point: parent } = await backupOf(repository, { vda });
  const { point, warnings } = await backupOf(
    repository,
    { vda },
    { parent, chunkBytes: 2 * chunk, changed: { vda: [] } },
  );
  assert.equal(warnings.length, 1);
  assert.equal(point.manifest.disks[0]!.chunk_bytes, 2 * chunk);
  assert.notEqual(point.manifest.series, parent.manifest.series);
  await assertRestores(repository, point, { vda });
});

test('the order in which disks are named does not matter', async () => {
  const { repository } = await newRepository();
  const disks = { vda: diskOfNoise(2, 1), vdb: diskOfNoise(3, 2) };
  const { point: parent } = await backupOf(repository, disks);
  const { point, warnings } = await backupOf(
    repository,
    { vdb: disks.vdb, vda: disks.vda },
    { parent, changed: { vda: [], vdb: [] } },
  );
  assert.deepEqual(warnings, []);
  assert.equal(point.manifest.increment_id, 2);
  await assertRestores(repository, point, disks);
  assert.deepEqual(await tableUses(repository, point), await countedUses(repository, point));
});

test('increments are numbered densely whichever point of the series they count from', async () => {
  const { repository } = await newRepository();
  const vda = diskOfNoise(2, 1);
  const first = await backupOf(repository, { vda });
  const numbers: (number | null)[] = [];
  for (let index = 0; index < 3; index += 1) {
    const { point } = await backupOf(repository, { vda }, { parent: first.point, changed: { vda: [] } });
    numbers.push(point.manifest.increment_id);
  }
  assert.deepEqual(numbers, [2, 3, 4]);
});

test('an imported point belongs to no series and cannot be carried on as one', async () => {
  const { repository } = await newRepository();
  const vda = diskOfNoise(2, 1);
  const { point } = await backupOf(repository, { vda }, { origin: 'import' });
  const { series, increment_id, parent } = point.manifest;
  assert.deepEqual({ series, increment_id, parent }, { series: null, increment_id: null, parent: null });
  const next = await backupOf(repository, { vda }, { parent: point, changed: { vda: [] } });
  assert.equal(next.warnings.length, 1);
  assert.equal(next.point.manifest.increment_id, 1);
  assert.equal(next.point.manifest.disks[0]!.counters.new_chunks, 0);
});

test('an unchanged disk costs a point a manifest and a few KiB', async () => {
  const { store, repository } = await newRepository();
  const vda = new MemoryDisk(600 * chunk);
  vda.write(noise({ seed: 1, length: 20 * chunk }), 0);
  const { point: parent } = await backupOf(repository, { vda });
  const before = [...store.objects().values()].reduce((sum, { length }) => sum + length, 0);
  const { point } = await backupOf(repository, { vda }, { parent, changed: { vda: [] } });
  const after = [...store.objects().values()].reduce((sum, { length }) => sum + length, 0);
  assert.ok(after - before < 4096, `${after - before} bytes`);
  assert.deepEqual(point.manifest.roots, parent.manifest.roots);
  await assertRestores(repository, point, { vda });
});

test('a parent of another resource is refused', async () => {
  const { repository } = await newRepository();
  const vda = diskOfNoise(1, 1);
  const { point: parent } = await backupOf(repository, { vda });
  await assert.rejects(backupOf(repository, { vda }, { resource: 'volumes/b', parent }), (error) =>
    hasCode(error, 'usage'),
  );
});

test('changed extents outside the disk are refused', async () => {
  const { repository } = await newRepository();
  const vda = diskOfNoise(2, 1);
  const { point: parent } = await backupOf(repository, { vda });
  for (const extent of [
    { offset: 0, length: 2 * chunk + 1 },
    { offset: -1, length: 1 },
    { offset: 1, length: -1 },
    { offset: 0.5, length: 1 },
    { offset: Number.MAX_SAFE_INTEGER, length: 2 },
  ]) {
    await assert.rejects(backupOf(repository, { vda }, { parent, changed: { vda: [extent] } }), (error) =>
      hasCode(error, 'changed_extents_invalid'),
    );
  }
});

test('points are found by id, by its beginning, and the newest by its resource', async () => {
  const { repository } = await newRepository();
  const vda = diskOfNoise(1, 1);
  const first = await backupOf(repository, { vda });
  const second = await backupOf(repository, { vda });
  await backupOf(repository, { vda }, { resource: 'volumes/ab' });
  const { id } = first.point.manifest;
  const find = async (point: string, resource?: string) =>
    (await findPoint({ repository, point, resource })).manifest.id;
  assert.equal(await find(id), id);
  assert.equal(await find(id.slice(4)), id);
  assert.equal(await find(id.slice(0, -1)), id);
  assert.equal(await find('latest', 'volumes/a'), second.point.manifest.id);
  await assert.rejects(find(id.slice(4, 12)), (error) => hasCode(error, 'point_ambiguous'));
  await assert.rejects(find('latest', 'volumes/c'), (error) => hasCode(error, 'point_not_found'));
  await assert.rejects(find('latest'), (error) => hasCode(error, 'usage'));
  await assert.rejects(find('bkp_'), (error) => hasCode(error, 'point_not_found'));
  assert.equal((await listPoints({ repository, resource: 'volumes/a' })).points.length, 2);
});

test('a disk that the point does not have, and a target that is too small, are refused', async () => {
  const { repository } = await newRepository();
  const { point } = await backupOf(repository, { vda: diskOfNoise(2, 1), vdb: diskOfNoise(1, 2) });
  const restore = (disk: string | undefined, sizeBytes: number) =>
    restoreDisk({
      repository,
      point,
      disk,
      target: new MemoryTarget({ disk: new MemoryDisk(sizeBytes), fresh: true }),
    });
  await assert.rejects(restore('vdc', 2 * chunk), (error) => hasCode(error, 'disk_not_found'));
  await assert.rejects(restore(undefined, 2 * chunk), (error) => hasCode(error, 'disk_not_found'));
  await assert.rejects(restore('vda', 2 * chunk - 1), (error) => hasCode(error, 'target_too_small'));
});
