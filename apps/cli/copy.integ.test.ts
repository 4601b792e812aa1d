/** Points in a second repository, which lives without the first. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { makeHouse } from './testing/house-fixture.ts';
import { holdfast, runHoldfast } from './testing/run-holdfast.ts';
import { hashOf, makeDisk, patchDisk } from './testing/test-disks.ts';

test('points are copied to a repository with a passphrase of its own, and come back without the first', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 12 * MiB + 7, dataBytes: 9 * MiB });
  const hashes: string[] = [];
  const points: string[] = [];
  for (const offset of [0, 5 * MiB]) {
    await patchDisk(disk, { offset, bytes: randomBytes(1000) });
    points.push(String((await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]))['point']));
    hashes.push(await hashOf(disk));
  }
  await holdfast(['backup', ...storage, '--resource', 'volumes/b', disk]);
  const url = `file://${at('second')}`;
  const target = ['--storage', url];
  const passphrase = { HOLDFAST_PASSPHRASE: 'of the target' };
  await holdfast(['repo', 'init', ...target, '--encrypt'], passphrase);
  const words = ['copy', ...storage, '--to', url];
  const problemOf = async (more: readonly string[], environment = {}) => {
    const run = await runHoldfast([...words, ...more, '--json'], environment);
    return [run.code, run.objects.at(-1)?.['code']];
  };
  assert.deepEqual(await problemOf([]), [2, 'usage']);
  assert.deepEqual(await problemOf(['--all', points[0]!]), [2, 'usage']);
  // The passphrase of the one is not tried on the other.
  assert.deepEqual(await problemOf(['--all'], passphrase), [1, 'key_required']);
  await writeFile(at('to'), 'of the target\n');
  const to = ['--to-passphrase-file', at('to')];
  assert.deepEqual(await problemOf([...to, 'bkp_00000000']), [1, 'point_not_found']);

  const planned = await holdfast([...words, ...to, '--resource', 'volumes/a', '--dry-run']);
  const idsOf = (list: unknown) => (list as { point: string }[]).map(({ point }) => point);
  assert.deepEqual(idsOf(planned['missing']), points);
  assert.deepEqual(idsOf((await holdfast([...words, ...to, points[0]!]))['copied']), [points[0]]);
  const second = await holdfast([...words, ...to, '--all'], { HOLDFAST_TO_PASSPHRASE: 'ignored' });
  assert.deepEqual([idsOf(second['copied']).length, idsOf(second['skipped'])], [2, [points[0]]]);
  assert.ok(Number(second['fetched_bytes']) > 0 && Number(second['put_bytes']) > 0);
  const again = await runHoldfast([...words, '--all'], { HOLDFAST_TO_PASSPHRASE: 'of the target' });
  assert.match(again.stdout, /^0 points copied, 3 there already; .* fetched, 0 B stored in/);

  await rm(at('repository'), { recursive: true });
  const listed = (await holdfast(['points', ...target], passphrase))['points'] as {
    point: string;
    resource: string;
    copied_from: { point: string };
  }[];
  const copies = listed.filter(({ resource }) => resource === 'volumes/a');
  assert.deepEqual(
    copies.map(({ copied_from: from }) => from.point),
    points,
  );
  for (const [index, { point }] of copies.entries()) {
    await holdfast(['restore', ...target, point, '--to', at('b.raw'), '--force'], passphrase);
    assert.equal(await hashOf(at('b.raw')), hashes[index]);
  }
});
