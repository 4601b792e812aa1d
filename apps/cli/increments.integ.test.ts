/** Backups that read only what is said to have changed, by a file or by a bitmap. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { makeHouse } from './testing/house-fixture.ts';
import { holdfast, runHoldfast } from './testing/run-holdfast.ts';
import { hashOf, makeDisk, patchDisk, runTool } from './testing/test-disks.ts';

test('an increment from a file of changes reads them alone, also where data became zeros', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 64 * MiB, dataBytes: 64 * MiB });
  await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]);
  await patchDisk(disk, { offset: 7 * MiB, bytes: Buffer.alloc(MiB) }, { offset: 9 * MiB + 5, bytes: randomBytes(10) });
  await writeFile(
    at('changed.json'),
    JSON.stringify([
      { offset: 7 * MiB, length: MiB },
      { offset: 9 * MiB + 5, length: 10 },
    ]),
  );
  const words = ['backup', ...storage, '--resource', 'volumes/a', '--parent', 'latest'];
  const second = await holdfast([...words, '--changed', at('changed.json'), disk]);
  assert.equal(second['kind'], 'incremental');
  assert.equal(second['increment_id'], 2);
  // Two chunks and the sample of sixteen clean ones.
  assert.ok(Number(second['read_bytes']) <= 18 * MiB, String(second['read_bytes']));
  await holdfast(['restore', ...storage, 'latest', '--resource', 'volumes/a', '--to', at('b.raw')]);
  assert.equal(await hashOf(at('b.raw')), await hashOf(disk));
});

test('a qcow2 bitmap makes an increment; one that is missing a full read with its reason', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  await makeDisk({ path: at('a.raw'), sizeBytes: 32 * MiB, dataBytes: 32 * MiB });
  const disk = at('a.qcow2');
  await runTool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', at('a.raw'), disk);
  await runTool('qemu-img', 'bitmap', '--add', disk, 'daily');
  const words = ['backup', ...storage, '--resource', 'volumes/a', disk];
  const first = await holdfast(words);
  await runTool('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 5M 64k', disk);
  const second = await holdfast([...words, '--parent', String(first['point']), '--bitmap', 'daily']);
  assert.equal(second['kind'], 'incremental');
  assert.deepEqual(second['warnings'], []);
  await holdfast(['restore', ...storage, String(second['point']), '--to', at('b.qcow2'), '--format', 'qcow2']);
  await runTool('qemu-img', 'compare', disk, at('b.qcow2'));

  const run = await runHoldfast([...words, '--parent', String(second['point']), '--bitmap', 'weekly', '--json']);
  assert.equal(run.code, 0, run.stderr);
  const third = run.objects.at(-1);
  assert.equal(third?.['kind'], 'full');
  assert.equal(third['requested'], 'incremental');
  assert.match(JSON.stringify(third['disks']), /"fallback_reason":"bitmap_not_found"/);
  assert.match(run.stderr, /weekly/);
});
