import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { listImageBitmaps } from '@holdfast/hypervisor/bitmaps';
import { assertFailed, checkpointNames, isCode, kinds, makeLargeDisk, startMachineBed } from './machine-fixture.ts';

const bed = await startMachineBed({ disks: [{ format: 'qcow2' }, { format: 'raw' }] });
const { guest } = bed;

const usual = ['vda incremental', 'vdb full a raw image keeps no bitmap'];

test('a machine that is off is backed up from its images, and the chain goes on through starts and stops', async () => {
  const first = await bed.exactPoint(guest.images);
  assert.equal(first.manifest.actual, 'full');

  await guest.start();
  assert.deepEqual(kinds(await bed.nextPoint()), usual);
  await guest.destroy();

  const off = await bed.exactPoint(guest.images);
  assert.deepEqual(kinds(off), usual);
  assert.equal(off.manifest.consistency, 'crash');
  const bitmap = off.manifest.disks[0]?.bitmap ?? '';
  assert.deepEqual(await checkpointNames(bed.host), [bitmap]);
  assert.deepEqual(await listImageBitmaps({ path: guest.images[0] ?? '' }), [{ name: bitmap, isInconsistent: false }]);
  // libvirt knows that its plug was pulled.
  await assert.rejects(bed.backup({ consistency: 'require' }), isCode('vm_state_invalid'));

  const unchanged = await bed.exactPoint(guest.images);
  assert.equal(unchanged.manifest.disks[0]?.counters.new_chunks, 0);
  await guest.start();
  assert.deepEqual(kinds(await bed.nextPoint()), usual);
});

test('a machine that has shut down is as quiet as can be', async () => {
  const domain = await bed.libvirt.domain('web');
  await domain.shutdown({ by: 'agent' });
  await domain.waitFor({ states: ['shut_off'], timeoutMs: 120_000 });
  const point = await bed.exactPoint(guest.images, { consistency: 'require' });
  assert.equal(point.manifest.consistency, 'application');
});

test('QEMU was killed: the bitmap in the image is broken, removed, and everything is read', async () => {
  await guest.start();
  await bed.host.killQemu('web');
  const domain = await bed.libvirt.domain('web');
  await domain.waitFor({ states: ['shut_off'], timeoutMs: 60_000 });
  const point = await bed.exactPoint(guest.images);
  assert.equal(point.manifest.disks[0]?.fallback_reason, 'bitmap_inconsistent');
  assert.deepEqual(
    (await listImageBitmaps({ path: guest.images[0] ?? '' })).map(({ name }) => name),
    [point.manifest.disks[0]?.bitmap],
  );
  assert.deepEqual(kinds(await bed.exactPoint(guest.images)), usual);
});

test('whoever starts it meanwhile is not kept from it: there is no point, and the next one is right', async () => {
  const devices = await makeLargeDisk(bed.host, { name: 'large', sizeMiB: 192 });
  const late = await bed.host.makeGuest({ name: 'late', devices });
  assertFailed(await bed.backupMeanwhile(() => late.start(), { machine: 'late' }), 'vm_started');
  const point = await bed.nextPoint({ machine: 'late' });
  assert.deepEqual(await checkpointNames(bed.host, 'late'), [point.manifest.disks[0]?.bitmap]);
  await bed.host.virsh('suspend', 'late');
  const images = [...late.images, join(bed.host.directory, 'large.qcow2')];
  assert.deepEqual(kinds(await bed.exactPoint(images, { machine: 'late' })), ['vda incremental', 'vdz incremental']);
});
