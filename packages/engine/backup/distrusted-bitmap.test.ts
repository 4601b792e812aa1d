/** A dirty bitmap that leaves out what really changed is found out by the sample of clean chunks, and not believed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDisk, MemorySource, noise } from '@holdfast/testing';
import { assertRestores, backupOf, newRepository, smallChunkBytes } from '../repository-fixture.ts';
import { backup } from './backup.ts';

const chunk = smallChunkBytes;

// Sixteen chunks or fewer are all sampled.
for (const liar of [0, 7, 15]) {
  test(`chunk ${liar} changed and the bitmap does not say so: everything is read, and the point says why`, async () => {
    const { repository } = await newRepository();
    const disk = new MemoryDisk(17 * chunk);
    disk.write(noise({ seed: 1, length: 10 * chunk }), 0);
    const { point: parent } = await backupOf(repository, { vda: disk });
    disk.write(noise({ seed: 2, length: 100 }), liar * chunk);
    disk.write(noise({ seed: 3, length: 100 }), 16 * chunk);
    const changed = { vda: [{ offset: 16 * chunk, length: 100 }] };
    const { point, warnings } = await backupOf(repository, { vda: disk }, { parent, changed });
    const [described] = point.manifest.disks;
    assert.equal(described!.actual, 'full');
    assert.equal(described!.fallback_reason, `clean_sample_mismatch at chunk ${liar}`);
    assert.equal(point.manifest.requested, 'incremental');
    assert.equal(point.manifest.actual, 'full');
    assert.equal(point.manifest.series, parent.manifest.series);
    assert.equal(warnings.length, 1);
    await assertRestores(repository, point, { vda: disk });
  });
}

test('zeros that came or went behind the bitmap are found out', async () => {
  const { repository } = await newRepository();
  const disk = new MemoryDisk(8 * chunk);
  disk.write(noise({ seed: 1, length: 4 * chunk }), 0);
  const { point: parent } = await backupOf(repository, { vda: disk });
  for (const change of [
    (at: MemoryDisk) => at.zero({ offset: chunk, length: chunk }),
    (at: MemoryDisk) => at.write(Buffer.from('x'), 7 * chunk),
  ]) {
    const lying = disk.clone();
    change(lying);
    const { point } = await backupOf(repository, { vda: lying }, { parent, changed: { vda: [] } });
    assert.match(point.manifest.disks[0]!.fallback_reason!, /^clean_sample_mismatch/);
    await assertRestores(repository, point, { vda: lying });
  }
});

test('a bitmap that tells the truth is believed: only what it names and the sample are read', async () => {
  const { repository } = await newRepository();
  const disk = new MemoryDisk(2000 * chunk);
  disk.write(noise({ seed: 1, length: 40 * chunk }), 0);
  const { point: parent } = await backupOf(repository, { vda: disk });
  disk.write(noise({ seed: 2, length: 2 * chunk }), 5 * chunk);
  const source = new MemorySource({ disk });
  const changed = [{ offset: 5 * chunk, length: 2 * chunk }];
  const { point } = await backup({
    repository,
    resource: 'volumes/a',
    parent,
    disks: [{ name: 'vda', source, changed }],
  });
  assert.equal(point.manifest.actual, 'incremental');
  assert.equal(source.readBytes, (2 + 16) * chunk);
  assert.equal(point.manifest.disks[0]!.counters.read_bytes, source.readBytes);
});

test('one disk that lies does not take the increment from the other', async () => {
  const { repository } = await newRepository();
  const disks = { vda: new MemoryDisk(4 * chunk), vdb: new MemoryDisk(4 * chunk) };
  const { point: parent } = await backupOf(repository, disks);
  disks.vdb.write(Buffer.from('changed'), chunk);
  const { point } = await backupOf(repository, disks, { parent, changed: { vda: [], vdb: [] } });
  assert.deepEqual(
    point.manifest.disks.map(({ actual }) => actual),
    ['incremental', 'full'],
  );
  assert.equal(point.manifest.actual, 'full');
  await assertRestores(repository, point, disks);
});
