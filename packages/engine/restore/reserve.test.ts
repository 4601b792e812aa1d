/** What a fresh target is told of before it is written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Extent } from '@holdfast/base';
import { MemoryDisk, MemoryTarget, noise } from '@holdfast/testing';
import { backupOf, newRepository, smallChunkBytes as chunk } from '../repository-fixture.ts';
import { restoreDisk } from './restore-disk.ts';

test('a fresh target is told where content will come, neighbouring chunks as one range; another is not', async () => {
  const { repository } = await newRepository();
  const disk = new MemoryDisk(9 * chunk + 100);
  disk.write(noise({ seed: 1, length: 3 * chunk }), chunk);
  disk.write(noise({ seed: 2, length: chunk + 100 }), 8 * chunk);
  const { point } = await backupOf(repository, { vda: disk });
  const toldOf = async (fresh: boolean): Promise<readonly Extent[]> => {
    const told: Extent[] = [];
    const target = new MemoryTarget({ disk: new MemoryDisk(disk.sizeBytes), fresh });
    await restoreDisk({
      repository,
      point,
      target: Object.assign(target, { reserve: (ranges: readonly Extent[]) => void told.push(...ranges) }),
    });
    return told;
  };
  assert.deepEqual(await toldOf(true), [
    { offset: chunk, length: 3 * chunk },
    { offset: 8 * chunk, length: chunk + 100 },
  ]);
  assert.deepEqual(await toldOf(false), []);
});
