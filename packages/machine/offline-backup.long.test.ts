import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { listImageBitmaps } from '@holdfast/hypervisor/bitmaps';
import type { TinyGuest } from '@holdfast/testing/guests';
import {
  assertSameContent,
  checkpointNames,
  gateBefore,
  type MachineBed,
  makeLargeDisk,
  proveJournals,
  startMachineBed,
} from './machine-fixture.ts';

let bed: MachineBed;
let guest: TinyGuest;

before(async () => {
  bed = await startMachineBed();
  guest = await bed.host.makeGuest({ name: 'web', disks: [{ format: 'qcow2' }, { format: 'raw' }] });
});

after(async () => {
  await bed[Symbol.asyncDispose]();
});

test('a machine that is off is backed up from its images, and the chain goes on through starts and stops', async () => {
  const first = await bed.backup('web');
  assert.equal(first.point.manifest.actual, 'full');
  await assertSameContent(await bed.restore(first.point), guest.images);

  await guest.start();
  const running = await bed.backup('web');
  const [vda, vdb] = running.point.manifest.disks;
  assert.deepEqual([vda?.actual, vdb?.fallback_reason], ['incremental', 'a raw image keeps no bitmap']);
  await proveJournals(await bed.restore(running.point));
  await guest.destroy();

  const off = await bed.backup('web');
  assert.equal(off.point.manifest.disks[0]?.actual, 'incremental', JSON.stringify(off.point.manifest.disks));
  assert.equal(off.point.manifest.consistency, 'crash');
  await assertSameContent(await bed.restore(off.point), guest.images);
  const bitmap = off.point.manifest.disks[0]?.bitmap ?? '';
  assert.deepEqual(await checkpointNames(bed.host, 'web'), [bitmap]);
  assert.deepEqual(await listImageBitmaps({ path: guest.images[0] ?? '' }), [{ name: bitmap, isInconsistent: false }]);

  const unchanged = await bed.backup('web');
  assert.equal(unchanged.point.manifest.disks[0]?.counters.new_chunks, 0);
  await guest.start();
  const again = await bed.backup('web');
  assert.equal(again.point.manifest.disks[0]?.actual, 'incremental');
  await proveJournals(await bed.restore(again.point));
});

test('a machine that has shut down is as quiet as can be', async () => {
  const domain = await bed.libvirt.domain('web');
  await domain.shutdown({ by: 'agent' });
  await domain.waitFor({ states: ['shut_off'], timeoutMs: 120_000 });
  const { point } = await bed.backup('web', { consistency: 'require' });
  assert.equal(point.manifest.consistency, 'application');
  await assertSameContent(await bed.restore(point), guest.images);
});

test('QEMU was killed: the bitmap in the image is broken, removed, and everything is read', async () => {
  await guest.start();
  await bed.host.killQemu('web');
  const domain = await bed.libvirt.domain('web');
  await domain.waitFor({ states: ['shut_off'], timeoutMs: 60_000 });
  const { point } = await bed.backup('web');
  assert.equal(point.manifest.disks[0]?.fallback_reason, 'bitmap_inconsistent');
  await assertSameContent(await bed.restore(point), guest.images);
  assert.deepEqual(
    (await listImageBitmaps({ path: guest.images[0] ?? '' })).map(({ name }) => name),
    [point.manifest.disks[0]?.bitmap],
  );
  assert.equal((await bed.backup('web')).point.manifest.disks[0]?.actual, 'incremental');
});

test('whoever starts it meanwhile is not kept from it: there is no point, and the next one is right', async () => {
  const devices = await makeLargeDisk(bed.host, { name: 'large', sizeMiB: 192 });
  const late = await bed.host.makeGuest({ name: 'late', devices });
  const gate = gateBefore(bed.repository);
  const backup = bed.backup('late', { repository: gate.repository });
  await Promise.race([gate.reached, backup]);
  try {
    await late.start();
  } finally {
    gate.open();
  }
  await assert.rejects(backup, (error) => {
    assert.ok(hasCode(error, 'vm_started'), String(error));
    return true;
  });
  const { point } = await bed.backup('late');
  await proveJournals((await bed.restore(point)).slice(0, 1));
  assert.deepEqual(await checkpointNames(bed.host, 'late'), [point.manifest.disks[0]?.bitmap]);
  await bed.host.virsh('suspend', 'late');
  const paused = await bed.backup('late');
  assert.equal(paused.point.manifest.actual, 'incremental');
  await assertSameContent(await bed.restore(paused.point), [...late.images, join(bed.host.directory, 'large.qcow2')]);
});
