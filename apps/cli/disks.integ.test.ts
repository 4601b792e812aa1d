/** Disks that come back as they were: new or in place, one or several, of any size, and out of foreign images. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { stat, truncate } from 'node:fs/promises';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { listPoints, makeHouse } from './testing/house-fixture.ts';
import { holdfast } from './testing/run-holdfast.ts';
import { hashOf, makeDisk, patchDisk } from './testing/test-disks.ts';

test('a disk of odd size comes back, new and in place, where only what differs is written', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 40 * MiB + 12_345, dataBytes: 10 * MiB + 77 });
  const first = await holdfast(['backup', ...storage, '--resource', 'volumes/a', '--label', 'before', disk]);
  assert.equal(first['kind'], 'full');
  assert.equal(first['increment_id'], 1);
  assert.ok(Number(first['read_bytes']) >= 10 * MiB && Number(first['read_bytes']) <= 12 * MiB);
  assert.ok(Number(first['put_bytes']) > 10 * MiB && Number(first['put_bytes']) < 11.5 * MiB);
  assert.ok(Number(first['put_objects']) >= 4);
  const original = await hashOf(disk);

  const point = String(first['point']);
  const restored = await holdfast(['restore', ...storage, point, '--to', at('b.raw')]);
  assert.equal(await hashOf(at('b.raw')), original);
  assert.equal((await stat(at('b.raw'))).size, 40 * MiB + 12_345);
  assert.ok((await stat(at('b.raw'))).blocks * 512 < 13 * MiB, 'holes stay holes');
  assert.deepEqual(
    (restored['disks'] as { name: string }[]).map(({ name }) => name),
    ['vda'],
  );

  await patchDisk(
    at('b.raw'),
    { offset: 5 * MiB, bytes: randomBytes(100) },
    { offset: 30 * MiB, bytes: randomBytes(9) },
  );
  const again = await holdfast(['restore', ...storage, point.slice(0, 20), '--to', at('b.raw'), '--force']);
  assert.equal(await hashOf(at('b.raw')), original);
  const [outcome] = again['disks'] as { written_bytes: number; kept_bytes: number }[];
  assert.equal(outcome?.written_bytes, MiB);
  assert.ok(outcome.kept_bytes > 9 * MiB);
});

test('several disks are one point, restored one by one or together', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  await makeDisk({ path: at('a.raw'), sizeBytes: 5 * MiB, dataBytes: 3 * MiB });
  await makeDisk({ path: at('b.raw'), sizeBytes: 3 * MiB, dataBytes: 3 * MiB });
  const disks = ['--disk', `vda=${at('a.raw')}`, '--disk', `vdb=${at('b.raw')}`];
  const { point } = await holdfast(['backup', ...storage, '--resource', 'instances/m', ...disks]);
  await holdfast(['restore', ...storage, String(point), '--disk', 'vdb', '--to', at('b2.raw')]);
  assert.equal(await hashOf(at('b2.raw')), await hashOf(at('b.raw')));
  await holdfast(['restore', ...storage, String(point), '--to-dir', at('all')]);
  assert.equal(await hashOf(at('all/vda.raw')), await hashOf(at('a.raw')));
  assert.equal(await hashOf(at('all/vdb.raw')), await hashOf(at('b.raw')));
  assert.deepEqual(
    (await listPoints(storage)).map(({ disks: found }) => (found as unknown[]).length),
    [2],
  );
});

test('a disk that grew and shrank between backups comes back in each of its sizes', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 6 * MiB, dataBytes: 6 * MiB });
  const sizes = [6 * MiB, 11 * MiB + 512, 3 * MiB + 1];
  const states: { point: string; hash: string }[] = [];
  for (const sizeBytes of sizes) {
    await truncate(disk, sizeBytes);
    const { point } = await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]);
    states.push({ point: String(point), hash: await hashOf(disk) });
  }
  for (const { point, hash } of states) {
    await holdfast(['restore', ...storage, point, '--to', at('b.raw'), '--force']);
    assert.equal(await hashOf(at('b.raw')), hash);
  }
});

test('an imported image is a legacy point of its own time and no series', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('old.raw'), sizeBytes: 2 * MiB, dataBytes: 2 * MiB });
  const words = ['import', ...storage, '--resource', 'volumes/old', '--taken-at', '2020-01-02T03:04:05Z', disk];
  const { point, series, increment_id: number } = await holdfast(words);
  assert.deepEqual({ series, number }, { series: null, number: null });
  const [found] = await listPoints(storage);
  assert.ok(found);
  assert.equal(found['point'], point);
  assert.equal(found['origin'], 'import');
  assert.equal(found['created_at'], '2020-01-02T03:04:05.000Z');
});
