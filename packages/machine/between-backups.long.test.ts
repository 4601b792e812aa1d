/**
 * What others do with a machine and its images between two backups: snapshots of theirs, suspension to disk, another size,
 * another name, another image. A bitmap that does not count every change since the point must not make an increment
 * (docs/failure-matrix.md).
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { MiB } from '@holdfast/base';
import { listImageBitmaps } from '@holdfast/hypervisor/bitmaps';
import { liveBitmaps } from '@holdfast/hypervisor/libvirt';
import { checkpointNames, isCode, kinds, startMachineBed } from './machine-fixture.ts';
import { restoreInPlace } from './restore.ts';

const bed = await startMachineBed();
const { guest, host } = bed;
const [vda = '', vdb = ''] = guest.images;
await guest.start();
await bed.backup();

const bothIncremental = ['vda incremental', 'vdb incremental'];
const bothInFull = (reason: string): readonly string[] => [`vda full ${reason}`, `vdb full ${reason}`];

async function qemuImg(...args: readonly string[]): Promise<void> {
  await promisify(execFile)('qemu-img', args);
}

/** As a guest that runs would: QEMU notes it in the bitmaps. */
async function write(image: string, what: string): Promise<void> {
  await promisify(execFile)('qemu-io', ['-f', 'qcow2', '-c', `write ${what}`, image]);
}

async function bitmapsOf(image: string): Promise<readonly string[]> {
  return (await listImageBitmaps({ path: image })).map(({ name }) => name);
}

async function define(xml: string): Promise<void> {
  const file = join(host.directory, 'definition.xml');
  await writeFile(file, xml);
  await host.virsh('define', file);
}

/** Increments that count right, while it runs and exactly when it stands still. */
async function assertGoesOn(): Promise<void> {
  assert.deepEqual(kinds(await bed.nextPoint()), bothIncremental);
  await host.virsh('suspend', 'web');
  assert.deepEqual(kinds(await bed.exactPoint(guest.images)), bothIncremental);
  await host.virsh('resume', 'web');
}

test('suspended to disk and started again, with a backup meanwhile and without', async () => {
  await host.virsh('managedsave', 'web');
  await guest.start();
  await assertGoesOn();

  await host.virsh('managedsave', 'web');
  await assert.rejects(bed.backup({ consistency: 'require' }), isCode('vm_state_invalid'));
  const { point, warnings } = await bed.backup();
  assert.match(warnings.join(), /web is suspended to disk: the point does not hold its memory/);
  assert.deepEqual([kinds(point), point.manifest.consistency], [bothIncremental, 'crash']);
  await bed.prove(point);
  assert.deepEqual(kinds(await bed.exactPoint(guest.images)), bothIncremental);
  await guest.start();
  await assertGoesOn();
});

test('snapshots in the images, taken and deleted by others while it runs', async () => {
  const domain = await bed.libvirt.domain('web');
  const nodes = [...(await liveBitmaps(domain)).values()].map(({ node }) => node);
  const all = async (type: string): Promise<unknown> =>
    await domain.monitor({
      command: 'transaction',
      args: { actions: nodes.map((device) => ({ type, data: { device, name: 'theirs' } })) },
    });
  await all('blockdev-snapshot-internal-sync');
  await assertGoesOn();
  for (const device of nodes) {
    await domain.monitor({ command: 'blockdev-snapshot-delete-internal-sync', args: { device, name: 'theirs' } });
  }
  await assertGoesOn();
});

test('virsh snapshot-create with the memory, and back to it with our bitmaps in place', async () => {
  await host.virsh('snapshot-create-as', 'web', 'theirs');
  await assertGoesOn();
  const domain = await bed.libvirt.domain('web');
  // libvirt ends QEMU, and starts none that would go back with bitmaps: the disks stay as they are.
  await assert.rejects(host.virsh('snapshot-revert', 'web', 'theirs'), /dirty bitmaps/);
  assert.equal((await domain.status()).state, 'shut_off');
  assert.deepEqual(kinds(await bed.exactPoint(guest.images)), bothInFull('bitmap_inconsistent'));
  assert.deepEqual(kinds(await bed.exactPoint(guest.images)), bothIncremental);

  await guest.start();
  for (const checkpoint of await checkpointNames(host)) await host.virsh('checkpoint-delete', 'web', checkpoint);
  await host.virsh('snapshot-revert', 'web', 'theirs');
  await guest.waitForAgent();
  assert.deepEqual(kinds(await bed.nextPoint()), bothInFull('checkpoint_not_found'));
  await assertGoesOn();
  await host.virsh('snapshot-delete', 'web', 'theirs');
  await guest.destroy();
});

test('off: qemu-img refuses to go back to a snapshot while there are bitmaps, and where they were removed all is read', async () => {
  await bed.exactPoint(guest.images);
  for (const image of guest.images) await qemuImg('snapshot', '-c', 'earlier', image);
  for (const image of guest.images) await write(image, '-P 7 40M 3M');
  await assert.rejects(qemuImg('snapshot', '-a', 'earlier', vda), /bitmaps/);
  assert.deepEqual(kinds(await bed.exactPoint(guest.images)), bothIncremental);
  for (const name of await bitmapsOf(vda)) await qemuImg('bitmap', '--remove', vda, name);
  await qemuImg('snapshot', '-a', 'earlier', vda);
  assert.deepEqual(kinds(await bed.exactPoint(guest.images)), ['vda full bitmap_not_found', 'vdb incremental']);
  for (const image of guest.images) await qemuImg('snapshot', '-d', 'earlier', image);
  await guest.start();
  await assertGoesOn();
  await guest.destroy();
});

test('off: a disk gets another size, and the increment is right, also when it shrank and grew again', async () => {
  await bed.exactPoint(guest.images);
  await write(vdb, '-P 9 62M 2M');
  await qemuImg('resize', vdb, '80M');
  await write(vdb, '-P 8 66M 1M');
  await write(vdb, '-P 8 78M 1M');
  assert.deepEqual(kinds(await bed.exactPoint(guest.images)), bothIncremental);
  await qemuImg('resize', '--shrink', vdb, '70M');
  const smaller = await bed.exactPoint(guest.images);
  assert.equal(smaller.manifest.disks[1]?.size_bytes, 70 * MiB);
  assert.deepEqual(kinds(smaller), bothIncremental);
  // QEMU notes in no bitmap that what was cut off is zero now; the sample finds out.
  await qemuImg('resize', '--shrink', vdb, '64M');
  await qemuImg('resize', vdb, '70M');
  const [, cutOff = ''] = kinds(await bed.exactPoint(guest.images));
  assert.match(cutOff, /^vdb full clean_sample_mismatch/);
  await guest.start();
  await assertGoesOn();
  await guest.destroy();
});

test('renamed, and defined anew with the same UUID: all is read, and no bitmap of ours stays behind', async () => {
  const domain = await bed.libvirt.domain('web');
  const xml = await domain.xml({ which: 'stored' });
  const old = (await bed.backup()).point.manifest.disks[0]?.bitmap ?? '';
  await guest.undefine();
  await define(xml);
  assert.deepEqual(kinds(await bed.exactPoint(guest.images)), bothInFull('checkpoint_not_found'));
  assert.ok(!(await bitmapsOf(vda)).includes(old));
  assert.deepEqual(kinds(await bed.exactPoint(guest.images)), bothIncremental);

  // libvirt renames no machine that has checkpoints.
  await guest.undefine();
  await define(xml.replace('<name>web</name>', '<name>shop</name>'));
  const { point } = await bed.backup({ machine: 'shop' });
  assert.deepEqual([point.manifest.resource, point.manifest.increment_id], ['instances/shop', 1]);
  for (const image of guest.images) assert.deepEqual(await bitmapsOf(image), [point.manifest.disks[0]?.bitmap]);
  await host.virsh('undefine', 'shop', '--checkpoints-metadata');
  await define(xml);
  await guest.start();
  assert.deepEqual(kinds(await bed.nextPoint()), bothInFull('checkpoint_not_found'));
  for (const { bitmaps } of (await liveBitmaps(domain)).values()) assert.equal(bitmaps.length, 1);
  await assertGoesOn();
});

test('a disk gets the image of another one, with a bitmap of the same name: both are read in full', async () => {
  const domain = await bed.libvirt.domain('web');
  for (const isRunning of [true, false]) {
    if (!isRunning) await host.virsh('destroy', 'web');
    else await guest.destroy();
    const xml = await domain.xml({ which: 'stored' });
    const swapped = xml.replaceAll(vda, '@').replaceAll(vdb, vda).replaceAll('@', vdb);
    await define(swapped);
    if (isRunning) await guest.start();
    if (isRunning) await host.virsh('suspend', 'web');
    const [first, second] = isRunning ? [vdb, vda] : [vda, vdb];
    assert.deepEqual(kinds(await bed.exactPoint([first, second])), bothInFull('image_replaced'));
    assert.deepEqual(kinds(await bed.exactPoint([first, second])), bothIncremental);
  }
});

test('an external snapshot while it runs, and it is turned off: its bitmap knows nothing of what was written before', async () => {
  await guest.start();
  await bed.nextPoint();
  await sleep(300);
  await host.virsh('snapshot-create-as', 'web', 'overlay', '--disk-only', '--atomic', '--no-metadata');
  await sleep(300);
  await guest.destroy();
  const overlays = guest.images.map((image) => image.replace(/qcow2$/, 'overlay'));
  assert.deepEqual(kinds(await bed.exactPoint(overlays)), bothInFull('bitmap_in_layers'));
  assert.deepEqual(kinds(await bed.exactPoint(overlays)), bothIncremental);
  await guest.start();
  for (const disk of ['vda', 'vdb']) await host.virsh('blockcommit', 'web', disk, '--active', '--pivot', '--wait');
  await assertGoesOn();
  await guest.destroy();
});

test('one disk comes back in place: the bitmaps in the others go at once, those for other repositories too', async () => {
  const elsewhere = { repository: await bed.makeRepository() };
  const [first] = [await bed.exactPoint(guest.images), await bed.exactPoint(guest.images, elsewhere)];
  assert.deepEqual([(await bitmapsOf(vda)).length, (await bitmapsOf(vdb)).length], [2, 2]);
  const { repository, libvirt } = bed;
  const { disks, warnings } = await restoreInPlace({ repository, libvirt, point: first, disks: ['vda'] });
  assert.deepEqual(warnings, []);
  assert.deepEqual([await bitmapsOf(vdb), (await bitmapsOf(vda)).length], [[], 2]);
  assert.deepEqual(await checkpointNames(host), []);

  const images = [disks[0]?.path ?? '', vdb];
  const next = await bed.exactPoint(images);
  assert.deepEqual([next.manifest.requested, next.manifest.increment_id], ['full', 1]);
  assert.deepEqual(kinds(await bed.exactPoint(images)), bothIncremental);
  await guest.start();
  assert.deepEqual(kinds(await bed.nextPoint()), bothIncremental);
  const live = await liveBitmaps(await bed.libvirt.domain('web'));
  assert.deepEqual(
    [...live.values()].map(({ bitmaps }) => bitmaps.length),
    [1, 1],
  );
  await guest.destroy();
});

test('behind the path of a disk is another file: a new one, an earlier copy, that of another disk', async () => {
  const machine = 'files';
  const { images } = await host.makeGuest({ name: machine, disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  const [first = '', second = ''] = images;
  const next = async (): Promise<readonly string[]> => kinds(await bed.exactPoint(images, { machine }));
  const other = join(host.directory, 'other.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', other, '64M');
  await write(other, '-P 3 1M 1M');
  const copy = join(host.directory, 'copy.qcow2');
  await next();
  await promisify(execFile)('cp', ['--preserve=all', first, copy]);
  await write(first, '-P 5 30M 1M');
  assert.deepEqual(await next(), bothIncremental);
  await rename(copy, first);
  assert.deepEqual(await next(), ['vda full bitmap_not_found', 'vdb incremental']);
  await rename(other, first);
  assert.deepEqual(await next(), ['vda full bitmap_not_found', 'vdb incremental']);
  // Neither path nor bitmap tells; the sample does.
  await rename(first, other);
  await rename(second, first);
  await rename(other, second);
  for (const kind of await next()) assert.match(kind, / full clean_sample_mismatch/);
});
