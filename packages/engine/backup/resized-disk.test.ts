/** A disk that grew or shrank goes on with its series; only what the parent cannot speak for is read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDisk, noise } from '@holdfast/testing';
import type { RestorePoint } from '../manifest/points.ts';
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

/** Data at the start, around the page boundary and up to the end. */
function diskOf(sizeBytes: number): MemoryDisk {
  const disk = new MemoryDisk(sizeBytes);
  for (const at of [0, 250 * chunk, 256 * chunk, sizeBytes - 2 * chunk]) {
    const offset = Math.max(0, Math.min(at, sizeBytes));
    disk.write(noise({ seed: at + 1, length: Math.min(2 * chunk, sizeBytes - offset) }), offset);
  }
  return disk;
}

const sizes = [
  0,
  1,
  chunk,
  3 * chunk,
  3 * chunk + 5,
  255 * chunk,
  256 * chunk,
  257 * chunk,
  280 * chunk,
  280 * chunk + 9,
];

for (const from of sizes) {
  test(`a disk of ${from} bytes continues at every other size, with nothing else changed`, async () => {
    const { repository } = await newRepository();
    const before = diskOf(from);
    const { point: parent } = await backupOf(repository, { vda: before });
    for (const to of sizes.filter((size) => size !== from)) {
      const disk = before.clone();
      disk.resize(to);
      const { point, warnings } = await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } });
      assert.deepEqual(warnings, []);
      assert.equal(point.manifest.series, parent.manifest.series);
      assert.equal(point.manifest.actual, 'incremental');
      await assertRestores(repository, point, { vda: disk });
      assert.deepEqual(await tableUses(repository, point), await countedUses(repository, point));
    }
    await assertRestores(repository, parent, { vda: before });
    await assertVerifies(repository);
  });
}

test('data in the part that grew is found without being said to be changed', async () => {
  const { repository } = await newRepository();
  const disk = diskOf(3 * chunk + 5);
  const { point: parent } = await backupOf(repository, { vda: disk });
  disk.resize(300 * chunk);
  disk.write(noise({ seed: 9, length: chunk }), 3 * chunk + 5);
  disk.write(noise({ seed: 10, length: chunk }), 299 * chunk);
  const { point } = await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } });
  await assertRestores(repository, point, { vda: disk });
});

test('the last chunk of a disk that is resized by a few bytes, as many sub-chunks as before, is stored whole', async () => {
  const { repository } = await newRepository({ chunkBytes: 4 * chunk });
  const disk = diskOf(7 * chunk - 100);
  let parent: RestorePoint | undefined;
  for (const sizeBytes of [7 * chunk - 99, 7 * chunk - 101, 7 * chunk - 100, 8 * chunk, 7 * chunk + 1]) {
    disk.resize(sizeBytes);
    const { point } = await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } });
    await assertRestores(repository, point, { vda: disk });
    parent = point;
  }
  await assertVerifies(repository);
});
