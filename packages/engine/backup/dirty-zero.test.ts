/** The first test of all: a range that was data, is dirty and now zero must not come back as the old data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDisk, MemoryTarget, noise } from '@holdfast/testing';
import { assertRestores, assertVerifies, backupOf, newRepository, smallChunkBytes } from '../repository-fixture.ts';
import { restoreDisk } from '../restore/restore-disk.ts';

const chunk = smallChunkBytes;
const chunkCount = 24;

function diskOfData(): MemoryDisk {
  const disk = new MemoryDisk(chunkCount * chunk);
  disk.write(noise({ seed: 1, length: chunkCount * chunk }), 0);
  return disk;
}

/** Long runs are asked for their extents, short ones are read: both ways must see the zeros. */
const runs = {
  'a short run': { offset: 3 * chunk, length: 2 * chunk },
  'a long run': { offset: 4 * chunk, length: 12 * chunk },
};
const waysToZero = {
  'as a hole that extents tell': { tellsHoles: true, hole: true },
  'as a hole that nobody tells': { tellsHoles: false, hole: true },
  'as written zeros': { tellsHoles: true, hole: false },
};

for (const [where, run] of Object.entries(runs)) {
  for (const [how, { tellsHoles, hole }] of Object.entries(waysToZero)) {
    for (const [what, extent] of Object.entries({
      whole: run,
      'in part': { offset: run.offset + 16 * 1024, length: run.length - 32 * 1024 },
    })) {
      test(`dirty and now zero, ${where}, ${what}, ${how}: zero in the new point, the old data in the old one`, async () => {
        const { repository } = await newRepository();
        const disk = diskOfData();
        const before = disk.clone();
        const first = await backupOf(repository, { vda: disk });
        if (hole) disk.zero(extent);
        else disk.write(Buffer.alloc(extent.length), extent.offset);
        const changed = { vda: [extent] };
        const second = await backupOf(repository, { vda: disk }, { parent: first.point, changed, tellsHoles });
        assert.equal(second.point.manifest.actual, 'incremental');
        if (what === 'whole') assert.equal(second.point.manifest.disks[0]!.counters.zero_chunks, run.length / chunk);
        await assertRestores(repository, second.point, { vda: disk });
        await assertRestores(repository, first.point, { vda: before });
        await assertVerifies(repository);
      });
    }
  }
}

test('a whole disk that became zero restores as zero, and needs no pack of the old one', async () => {
  const { repository } = await newRepository();
  const disk = diskOfData();
  const first = await backupOf(repository, { vda: disk });
  const all = { offset: 0, length: disk.sizeBytes };
  disk.zero(all);
  const second = await backupOf(repository, { vda: disk }, { parent: first.point, changed: { vda: [all] } });
  await assertRestores(repository, second.point, { vda: disk });
  assert.equal(second.point.manifest.table.packCount, 0);
});

test('zeros that were written over a target with old data are written, not skipped', async () => {
  const { repository } = await newRepository();
  const disk = diskOfData();
  disk.zero({ offset: 5 * chunk, length: 3 * chunk });
  const { point } = await backupOf(repository, { vda: disk });
  const old = diskOfData();
  await restoreDisk({ repository, point, target: new MemoryTarget({ disk: old, fresh: false }) });
  assert.equal(disk.differsFrom(old), undefined);
});

test('a chunk that was patched and is now zero, in part or whole, restores as zero', async () => {
  const { repository } = await newRepository({ chunkBytes: 4 * chunk });
  const disk = diskOfData();
  let { point } = await backupOf(repository, { vda: disk });
  const kept = [{ point, due: disk.clone() }];
  for (const step of [
    { offset: 5 * chunk, length: 10 },
    { offset: 5 * chunk, length: chunk },
    { offset: 4 * chunk, length: 4 * chunk },
    { offset: 6 * chunk, length: 1 },
  ]) {
    if (step.length < chunk) disk.write(noise({ seed: step.length, length: step.length }), step.offset);
    else disk.zero(step);
    ({ point } = await backupOf(repository, { vda: disk }, { parent: point, changed: { vda: [step] } }));
    kept.push({ point, due: disk.clone() });
  }
  for (const one of kept) await assertRestores(repository, one.point, { vda: one.due });
  await assertVerifies(repository);
});
