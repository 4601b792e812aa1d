/** A disk that the definition names as a volume of a storage pool, and not by a path. */
import assert from 'node:assert/strict';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { listImageBitmaps } from '@holdfast/hypervisor/bitmaps';
import { guestConfigurationOf } from './guest-configuration.ts';
import { checkpointNames, kinds, runInGuest, startMachineBed } from './machine-fixture.ts';

const bed = await startMachineBed({
  disks: [{ format: 'qcow2' }],
  writer: 'off',
  devicesOn: async (host) => {
    const pool = join(host.directory, 'pool');
    await mkdir(pool);
    await chmod(pool, 0o777);
    await host.virsh('pool-define-as', 'disks', 'dir', '--target', pool);
    await host.virsh('pool-start', 'disks');
    await host.run('qemu-img', 'create', '-q', '-f', 'qcow2', join(pool, 'its data.qcow2'), '16M');
    await host.virsh('pool-refresh', 'disks');
    // Of version 2, as long as nobody says otherwise.
    await host.virsh('vol-create-as', 'disks', 'old', '16M', '--format', 'qcow2');
    const disk = (target: string, volume: string): string =>
      `<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/>
        <source pool='disks' volume='${volume}'/><target dev='${target}' bus='virtio'/></disk>`;
    return disk('vdb', 'its data.qcow2') + disk('vdc', 'old');
  },
});
const { guest, host } = bed;
const volume = join(host.directory, 'pool/its data.qcow2');
const images = [...guest.images, volume];
const two = { disks: ['vda', 'vdb'] } as const;
const domain = await bed.libvirt.domain('web');
await guest.start();

/** A point after the guest wrote to the volume. */
async function changedPoint(place: number): Promise<readonly string[]> {
  await runInGuest(domain, `dd if=/dev/urandom of=/dev/vdb bs=64k seek=${place} count=3 conv=fsync 2>&1`);
  await domain.pause();
  const point = await bed.exactPoint(images, two);
  await domain.resume();
  return kinds(point);
}

const bothIncremental = ['vda incremental', 'vdb incremental'];

test('while the machine runs, increments are made of it', async () => {
  assert.deepEqual(await changedPoint(0), ['vda full', 'vdb full']);
  assert.deepEqual(await changedPoint(20), bothIncremental);
  const { point } = await bed.backup(two);
  assert.deepEqual(kinds(point), bothIncremental);
  const configuration = await guestConfigurationOf({ repository: bed.repository, point });
  assert.deepEqual(configuration?.disks[1]?.source, { kind: 'volume', pool: 'disks', volume: 'its data.qcow2' });
});

test('off, the volume is found by its pool, and the chain goes on', async () => {
  await runInGuest(domain, 'dd if=/dev/urandom of=/dev/vdb bs=64k seek=40 count=3 conv=fsync 2>&1');
  await guest.destroy();
  assert.deepEqual(kinds(await bed.exactPoint(images, two)), bothIncremental);
  assert.deepEqual(kinds(await bed.exactPoint(images, two)), bothIncremental);
  const bitmaps = await listImageBitmaps({ path: volume });
  assert.deepEqual(
    bitmaps.map(({ name }) => name),
    await checkpointNames(host),
  );
  await guest.start();
  assert.deepEqual(await changedPoint(60), bothIncremental);
});

test('off, and the pool is not there: no point, with the reason', async () => {
  await guest.destroy();
  await host.virsh('pool-destroy', 'disks');
  await assert.rejects(
    bed.backup(two),
    (error) => hasCode(error, 'libvirt_failed') && /its data.qcow2 in the pool disks: .*not active/.test(error.message),
  );
  await host.virsh('pool-start', 'disks');
  assert.deepEqual(kinds(await bed.exactPoint(images, two)), bothIncremental);
});

test('a volume as libvirt makes it keeps no bitmap: it is read in full, beside increments of the others', async () => {
  const all = { resource: 'instances/all' };
  const withOld = [...bothIncremental, 'vdc full a qcow2 image of version 2 keeps no bitmap'];
  const three = [...images, join(host.directory, 'pool/old')];
  await bed.exactPoint(three, all);
  assert.deepEqual(kinds(await bed.exactPoint(three, all)), withOld);
  await guest.start();
  await runInGuest(domain, 'dd if=/dev/urandom of=/dev/vdc bs=64k seek=7 count=3 conv=fsync 2>&1');
  await domain.pause();
  assert.deepEqual(kinds(await bed.exactPoint(three, all)), withOld);
});
