/** Points are deleted, come back, and give their space back. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { temporaryDirectory } from '@holdfast/testing';
import { listPoints, makeHouse } from './testing/house-fixture.ts';
import { holdfast, runHoldfast, startHoldfast } from './testing/run-holdfast.ts';
import { hashOf, makeDisk, patchDisk } from './testing/test-disks.ts';

test('points go to the trash and come back, and what nobody needs is freed', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  const cache = ['--cache', at('cache')];
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 16 * MiB, dataBytes: 16 * MiB });
  const words = ['backup', ...storage, '--resource', 'volumes/a', disk];
  const first = String((await holdfast(words))['point']);
  const original = await hashOf(disk);
  await patchDisk(disk, { offset: 0, bytes: randomBytes(8 * MiB) });
  const second = String((await holdfast([...words, '--parent', first]))['point']);
  const ids = async (...more: readonly string[]) => (await listPoints([...storage, ...more])).map(({ point }) => point);

  const preview = await holdfast(['delete', ...storage, ...cache, first, '--dry-run']);
  assert.deepEqual(await ids(), [first, second]);
  assert.equal(Number(preview['dead_chunks']), 8);
  await holdfast(['delete', ...storage, first]);
  assert.deepEqual(await ids(), [second]);
  assert.deepEqual(await ids('--trashed'), [first]);
  const refused = await runHoldfast(['restore', ...storage, first, '--to', at('no.raw'), '--json']);
  assert.equal(refused.objects.at(-1)?.['code'], 'point_not_found');
  assert.match(refused.stderr, new RegExp(`holdfast undelete ${first}`));
  assert.deepEqual((await holdfast(['collect', ...storage, ...cache]))['purged_points'], []);
  await holdfast(['undelete', ...storage, first.slice(0, 24)]);
  assert.deepEqual(await ids(), [first, second]);
  await holdfast(['restore', ...storage, first, '--to', at('b.raw')]);
  assert.equal(await hashOf(at('b.raw')), original);

  await holdfast(['delete', ...storage, '--resource', 'volumes/a']);
  assert.deepEqual(await ids(), []);
  await holdfast(['undelete', ...storage, second]);
  await using directory = await temporaryDirectory();
  const serving = startHoldfast(['serve', ...storage, second, '--socket', join(directory.path, 'socket'), '--json']);
  await serving.object('ready');
  const dry = await holdfast(['collect', ...storage, ...cache, '--trash-days', '0', '--dry-run']);
  assert.deepEqual(await ids('--trashed'), [first]);
  const held = await holdfast(['collect', ...storage, ...cache, '--trash-days', '0']);
  assert.deepEqual(held['purged_points'], [first]);
  assert.deepEqual(held['condemned'], dry['condemned']);
  assert.deepEqual(held['deleted'], { packs: 0, bytes: 0 });
  const [holder] = held['held_back_by'] as { role: string; pid: number; resource: string }[];
  assert.deepEqual([holder?.role, holder?.resource], ['reader', 'volumes/a']);
  const check = await holdfast(['repo', 'check', ...storage]);
  const [condemned] = check['condemned'] as { packs: number; held_back_by: string[] }[];
  assert.equal(condemned?.packs, (held['condemned'] as { packs: number }).packs);
  assert.equal(condemned.held_back_by.length, 1);
  // Nobody can tell a killed server from a busy one but its own host.
  serving.child.kill('SIGKILL');
  await serving.ended;
  const last = await holdfast(['collect', ...storage, ...cache]);
  assert.equal((last['fenced_sessions'] as string[]).length, 1);
  assert.deepEqual(last['deleted'], held['condemned']);
  assert.deepEqual(last['open_epochs'], []);
  await holdfast(['restore', ...storage, second, '--to', at('c.raw')]);
  assert.equal(await hashOf(at('c.raw')), await hashOf(disk));
  assert.equal(
    ((await holdfast(['verify', ...storage]))['points'] as { ok: boolean }[]).every(({ ok }) => ok),
    true,
  );
  assert.deepEqual((await holdfast(['repo', 'check', ...storage]))['packs_orphaned'], { packs: 0, bytes: 0 });
  for (const bad of [
    ['--trash-days', '31'],
    ['--trash-days', 'x'],
    ['--wait', '5'],
    ['--fence', 'me'],
  ]) {
    assert.equal((await runHoldfast(['collect', ...storage, ...bad])).code, 2, bad.join(' '));
  }
});
