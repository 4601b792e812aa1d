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

for (const holds of [2000, 40, 3, 0]) {
  test(`a bitmap that tells the truth is believed; of a disk with ${holds} chunks of content only what it names is read, and of the sample what is no hole`, async () => {
    const { repository } = await newRepository();
    const disk = new MemoryDisk(2000 * chunk);
    disk.write(noise({ seed: 1, length: holds * chunk }), 0);
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
    const sampled = source.readBytes / chunk - 2;
    // Both ends of the content, and whatever chance finds there.
    if (holds === 2000) assert.equal(sampled, 16);
    else assert.ok(sampled >= Math.min(2, holds) && sampled <= Math.min(16, holds), `${sampled} chunks`);
    assert.equal(point.manifest.disks[0]!.counters.read_bytes, source.readBytes);
  });
}

test('another disk in the place of this one, with a bitmap that says that nothing changed, is found out', async () => {
  const { repository } = await newRepository();
  // Alike but for two chunks of thousands.
  const disk = new MemoryDisk(5000 * chunk);
  disk.write(noise({ seed: 1, length: 20 * chunk }), 100 * chunk);
  for (const other of [100, 119]) {
    const { point: parent } = await backupOf(repository, { vda: disk });
    const another = disk.clone();
    another.write(noise({ seed: 2, length: 10 }), other * chunk + 7);
    const { point } = await backupOf(repository, { vda: another }, { parent, changed: { vda: [] } });
    assert.equal(point.manifest.disks[0]!.fallback_reason, `clean_sample_mismatch at chunk ${other}`);
    await assertRestores(repository, point, { vda: another });
  }
});

test('a disk whose end was cut off and grew again, of which QEMU tells nobody, is found out', async () => {
  const { repository } = await newRepository({ chunkBytes: 4 * chunk });
  const disk = new MemoryDisk(3000 * chunk);
  disk.write(noise({ seed: 1, length: 40 * chunk }), 0);
  const { point: parent } = await backupOf(repository, { vda: disk });
  const cut = (at: number): MemoryDisk => {
    const shorter = disk.clone();
    shorter.resize(at);
    shorter.resize(disk.sizeBytes);
    return shorter;
  };
  const within = cut(36 * chunk + 5);
  const { point: found } = await backupOf(repository, { vda: within }, { parent, changed: { vda: [] } });
  assert.match(found.manifest.disks[0]!.fallback_reason!, /^clean_sample_mismatch/);
  await assertRestores(repository, found, { vda: within });

  // Afterwards something was written to the last chunk, which therefore is not clean as a whole; the one before is.
  const written = cut(38 * chunk);
  written.write(Buffer.from('after'), 36 * chunk);
  const changed = { vda: [{ offset: 36 * chunk, length: 5 }] };
  const { point: believed } = await backupOf(repository, { vda: written }, { parent, changed });
  assert.equal(believed.manifest.actual, 'incremental');
  await assertRestores(repository, believed, { vda: written });
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
