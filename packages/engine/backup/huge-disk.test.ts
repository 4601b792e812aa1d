/** Disks of terabytes: offsets beyond 4 GiB are right, and time and memory follow the data, not the size. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GiB, MiB, TiB } from '@holdfast/base';
import { MemoryDisk, MemorySource, MemoryTarget, noise } from '@holdfast/testing';
import { restoreDisk } from '../restore/restore-disk.ts';
import { openPointDisk } from '../serve/point-disk.ts';
import { assertVerifies, backupOf, countedUses, newRepository, tableUses } from '../repository-fixture.ts';
import { backup } from './backup.ts';

const sizeBytes = 5 * TiB + 12_345;
const places = [0, 4 * GiB - 10, 4 * GiB, 8 * GiB - 1, TiB + 3, sizeBytes - 777];

function writeAt(disk: MemoryDisk, seed: number): void {
  for (const offset of places) {
    disk.write(noise({ seed: seed + offset, length: Math.min(5000, sizeBytes - offset) }), offset);
  }
}

test('a sparse disk of 5 TiB with data around 4 GiB and at its end: full, increment, restore, reads', async () => {
  const { repository } = await newRepository({ chunkBytes: 4 * MiB });
  const disk = new MemoryDisk(sizeBytes);
  writeAt(disk, 1);
  const before = disk.clone();
  const startMs = performance.now();
  const startBytes = process.memoryUsage().rss;

  const source = new MemorySource({ disk });
  const first = await backup({ repository, resource: 'volumes/a', disks: [{ name: 'vda', source }] });
  assert.ok(source.readBytes <= 8 * 4 * MiB, `${source.readBytes} bytes were read`);
  disk.zero({ offset: 4 * GiB, length: 100 });
  disk.write(noise({ seed: 9, length: 3 * MiB }), sizeBytes - 3 * MiB);
  const changed = {
    vda: [
      { offset: 4 * GiB, length: 100 },
      { offset: sizeBytes - 3 * MiB, length: 3 * MiB },
    ],
  };
  const second = await backupOf(repository, { vda: disk }, { parent: first.point, changed });
  assert.equal(second.point.manifest.actual, 'incremental');

  for (const { point, disk: due } of [
    { ...first, disk: before },
    { ...second, disk },
  ]) {
    const fresh = new MemoryDisk(sizeBytes);
    await restoreDisk({ repository, point, target: new MemoryTarget({ disk: fresh, fresh: true }) });
    assert.equal(due.differsFrom(fresh), undefined);
    assert.deepEqual(await tableUses(repository, point), await countedUses(repository, point));
    await using reader = await openPointDisk({ repository, point });
    for (const offset of places) {
      const [into, expected] = [Buffer.alloc(777), Buffer.alloc(777)];
      await reader.read({ into, offset });
      due.read(expected, offset);
      assert.ok(into.equals(expected), `at ${offset}`);
    }
  }
  await assertVerifies(repository);
  const seconds = (performance.now() - startMs) / 1000;
  const grownBytes = process.memoryUsage().rss - startBytes;
  assert.ok(seconds < 60, `${seconds} s`);
  assert.ok(grownBytes < 700 * MiB, `${grownBytes} bytes`);
});
