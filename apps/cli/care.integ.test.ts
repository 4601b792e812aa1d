/** Looking after a repository through the command: rot and how it heals, what is left of a point, and space that comes back. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { glob, open, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { makeHouse } from './testing/house-fixture.ts';
import { holdfast, runHoldfast } from './testing/run-holdfast.ts';
import { hashOf, makeDisk, patchDisk } from './testing/test-disks.ts';

async function flipByte(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte[0]! ^= 1;
  await file.write(byte, 0, 1, offset);
}

test('a rotten chunk is found, flagged, left out by best effort, and healed by the next backup', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 12 * MiB, dataBytes: 6 * MiB });
  const point = String((await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]))['point']);
  const [pack] = await Array.fromAsync(glob(`${at('repository')}/d/default/data/*/*`));
  await flipByte(pack!, 2 * MiB + 500_000);

  const verify = await runHoldfast(['verify', ...storage, '--json']);
  assert.equal(verify.code, 1);
  assert.equal(verify.objects.at(-1)?.['code'], 'chunk_corrupt');
  const { points } = await holdfast(['points', ...storage]);
  const [flagged] = points as { problems: string[] }[];
  assert.ok(flagged!.problems.length > 0);

  const strict = await runHoldfast(['restore', ...storage, point, '--to', at('strict.raw'), '--json']);
  assert.deepEqual([strict.code, strict.objects.at(-1)?.['code']], [1, 'chunk_corrupt']);
  const report = at('report.json');
  const torn = await runHoldfast([
    ...['restore', ...storage, point, '--to', at('torn.raw')],
    ...['--best-effort', '--report', report, '--json'],
  ]);
  assert.deepEqual([torn.code, torn.objects.at(-1)?.['code']], [1, 'restore_incomplete']);
  const { disks } = JSON.parse(await readFile(report, 'utf8')) as {
    disks: { disk: string; unreadable: { offset: number; length: number; reason: string }[] }[];
  };
  assert.deepEqual(
    disks.map((one) => one.disk),
    ['vda'],
  );
  const [lost, ...others] = disks[0]!.unreadable;
  assert.deepEqual(others, []);
  assert.equal(lost!.length, MiB);
  const due = await readFile(disk);
  due.fill(0, lost!.offset, lost!.offset + lost!.length);
  assert.ok(due.equals(await readFile(at('torn.raw'))), 'everything else is there');

  const again = await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]);
  assert.ok(
    Number(again['put_bytes']) > MiB && Number(again['put_bytes']) < 2 * MiB,
    'only what was lost is stored again',
  );
  const healed = await holdfast(['verify', ...storage, '--heal']);
  assert.deepEqual([healed['healed_chunks'], healed['lost_chunks']], [1, 0]);
  await holdfast(['restore', ...storage, point, '--to', at('whole.raw')]);
  assert.equal(await hashOf(at('whole.raw')), await hashOf(disk));
  const after = (await holdfast(['points', ...storage]))['points'] as { problems: string[] }[];
  assert.deepEqual(
    after.map(({ problems }) => problems),
    [[], []],
  );
});

test('compact and collect give back what deleted points held in packs that others use', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 24 * MiB, dataBytes: 24 * MiB });
  const first = String((await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]))['point']);
  await patchDisk(disk, { offset: 4 * MiB, bytes: randomBytes(20 * MiB) });
  const second = String((await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]))['point']);
  await holdfast(['delete', ...storage, first]);
  await holdfast(['collect', ...storage, '--trash-days', '0']);
  const planned = await holdfast(['compact', ...storage, '--dry-run']);
  const report = await holdfast(['compact', ...storage]);
  assert.deepEqual(report['packs'], planned['packs']);
  assert.ok(Number(report['copied_bytes']) >= 4 * MiB && Number(report['copied_bytes']) < 5 * MiB);
  const before = await holdfast(['repo', 'check', ...storage]);
  await holdfast(['collect', ...storage]);
  const after = await holdfast(['repo', 'check', ...storage]);
  const bytes = (check: Record<string, unknown>) => (check['data_packs'] as { bytes: number }).bytes;
  assert.ok(bytes(before) - bytes(after) > 20 * MiB, `${bytes(before)} became ${bytes(after)}`);
  assert.deepEqual(after['missing_packs'], []);
  await holdfast(['restore', ...storage, second, '--to', at('b.raw')]);
  assert.equal(await hashOf(at('b.raw')), await hashOf(disk));
  await holdfast(['verify', ...storage, '--max-age', '30d', '--max-duration', '1h']);
});

test('what makes no sense together is refused', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  for (const words of [
    ['verify', ...storage, '--presence', '--max-age', '1d'],
    ['verify', ...storage, '--max-age', '1'],
    ['compact', ...storage, '--threshold', '0'],
    ['compact', ...storage, '--max-bytes', 'some'],
    ['restore', ...storage, 'latest', '--to', at('x.raw'), '--report', at('r.json')],
  ]) {
    assert.equal((await runHoldfast(words)).code, 2, words.join(' '));
  }
});
