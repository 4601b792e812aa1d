import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode, MiB, systemClock } from '@holdfast/base';
import { proveJournals } from '@holdfast/testing/guests';
import { describeDomain } from '../libvirt/index.ts';
import { run } from '../testing/scratch-directory.ts';
import {
  cloneLayer,
  createVmSnapshot,
  deleteVmSnapshot,
  findVmSnapshot,
  listVmSnapshots,
  revertVolume,
} from './index.ts';
import { startSnapshotBed, usual } from './snapshot-fixture.ts';

const { host, guest, domain, journal } = await startSnapshotBed(({ directory }) => {
  const path = join(directory, 'large.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', path, '80G');
  return `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${path}'/><target dev='vdz' bus='virtio'/></disk>`;
});
/** The third disk: its tables are too large for an internal snapshot. */
const large = join(host.directory, 'large.qcow2');

async function create(name: string, consistency: 'require' | 'prefer' | 'never' = 'never') {
  return await createVmSnapshot({ domain, journal, name, ...usual, consistency });
}

async function remove(name: string) {
  return await deleteVmSnapshot({ domain, journal, name, allowStall: false });
}

async function names(): Promise<readonly string[]> {
  return (await listVmSnapshots({ domain, journal })).map(({ name, kind, isDeleting, missing }) =>
    [name, kind, ...(isDeleting ? ['deleting'] : []), ...missing].join(' '),
  );
}

/** Topmost images, running and at the next start. */
async function topmost(): Promise<readonly (readonly string[])[]> {
  const of = async (which: 'live' | 'stored'): Promise<readonly string[]> => {
    const { disks } = describeDomain(await domain.xml({ which }));
    return disks.map(({ source }) => (source.kind === 'file' ? source.path : ''));
  };
  return [await of('live'), await of('stored')];
}

/** Of the two disks that are written to. @returns the last record */
async function lastRecordIn(images: readonly string[]): Promise<number> {
  const [{ last }] = await proveJournals(images.slice(0, 2));
  assert.ok(last > 0);
  return last;
}

/** The last record that the snapshot holds. */
async function lastRecordOf(name: string): Promise<number> {
  const { disks } = findVmSnapshot(await listVmSnapshots({ domain, journal }), name, domain);
  const clones: string[] = [];
  for (const { target, image } of disks.filter((disk) => disk.target !== 'vdz')) {
    const clone = join(host.directory, `clone-${name}-${target}-${Date.now()}.qcow2`);
    await cloneLayer({ path: image, target: { path: clone, format: 'qcow2' } });
    clones.push(clone);
  }
  return await lastRecordIn(clones);
}

async function overlayFiles(): Promise<readonly string[]> {
  return (await readdir(host.directory)).filter((name) => /^web-vd.-\d{8}T/.test(name));
}

/** As much onto the large disk as makes its commit last for a while. */
async function fillLarge(mebibytes: number): Promise<void> {
  const args = ['if=/dev/zero', 'of=/dev/vdc', 'bs=1M', `count=${mebibytes}`, 'conv=fsync'];
  const { exitCode, errors } = await domain.agent.run({ program: 'dd', args, timeoutMs: 120_000 });
  assert.equal(exitCode, 0, errors);
}

test('a running machine with large tables gets an overlay on every disk, all of one moment', async () => {
  await guest.start();
  await sleep(300);
  const first = await create('first', 'require');
  assert.deepEqual([first.kind, first.consistency, first.missing], ['layer', 'filesystem', []]);
  assert.ok(first.frozenMs !== undefined && first.frozenMs < 1000, String(first.frozenMs));
  assert.equal(await domain.agent.freezeState(), 'thawed');
  await sleep(300);
  // Its tables are small now; that it has layers decides.
  assert.equal((await create('second')).kind, 'layer');
  assert.deepEqual(await names(), ['first layer', 'second layer']);
  await assert.rejects(create('first'), (error) => hasCode(error, 'snapshot_exists'));
  const [live, stored] = await topmost();
  assert.deepEqual(live, stored);
  assert.equal((await overlayFiles()).length, 6);
  const [one, two] = [await lastRecordOf('first'), await lastRecordOf('second')];
  assert.ok(one < two, `${one} ${two}`);
  const [listed] = await listVmSnapshots({ domain, journal });
  const usages = listed?.disks.map((disk) => (disk.kind === 'layer' ? disk.usage : undefined)) ?? [];
  assert.ok(
    usages.every((usage) => usage?.kind === 'known'),
    JSON.stringify(usages),
  );
  assert.ok(usages[0]?.kind === 'known' && usages[0].divergedBytes > 0);
});

test('the older goes while the machine runs: its overlay is written into the image below, and the newer stays what it is', async () => {
  const before = await lastRecordOf('second');
  await remove('first');
  assert.deepEqual(await names(), ['second layer']);
  assert.equal(await lastRecordOf('second'), before);
  assert.equal((await overlayFiles()).length, 3);
  assert.deepEqual(
    findVmSnapshot(await listVmSnapshots({ domain, journal }), 'second', domain).disks.map(({ image }) => image),
    [...guest.images, large],
  );
});

test('the last one goes: the machine is back on its images, and no overlay is left', async () => {
  await remove('second');
  assert.deepEqual(await names(), []);
  assert.deepEqual(await topmost(), [
    [...guest.images, large],
    [...guest.images, large],
  ]);
  assert.deepEqual(await overlayFiles(), []);
  assert.deepEqual(await journal.overlays.list(domain.uuid), []);
  await assert.rejects(remove('second'), (error) => hasCode(error, 'snapshot_not_found'));
  await sleep(200);
  await guest.destroy();
  await lastRecordIn(guest.images);
  for (const image of [...guest.images, large]) run('qemu-img', 'check', '-q', image);
});

test('of a machine that is off they go in any order, and the disks are what they were', async () => {
  await guest.start();
  await create('third');
  await sleep(200);
  await create('fourth');
  await sleep(200);
  await guest.destroy();
  const [live = []] = await topmost();
  const whole = await lastRecordIn(live);
  const fourth = await lastRecordOf('fourth');
  await remove('third');
  assert.deepEqual(await names(), ['fourth layer']);
  assert.equal(await lastRecordOf('fourth'), fourth);
  assert.equal(await lastRecordIn(live), whole);
  await remove('fourth');
  assert.deepEqual(await topmost(), [
    [...guest.images, large],
    [...guest.images, large],
  ]);
  assert.deepEqual(await overlayFiles(), []);
  assert.equal(await lastRecordIn(guest.images), whole);
  for (const image of [...guest.images, large]) run('qemu-img', 'check', '-q', image);
});

test('what a commit would lose, and what cannot be reached, is refused and says what to do', async () => {
  await create('inside'); // off: in the images
  await guest.start();
  await assert.rejects(remove('inside'), (error) => hasCode(error, 'snapshot_would_stall'));
  await create('layer');
  await assert.rejects(
    remove('inside'),
    (error) => hasCode(error, 'snapshot_blocked') && /Shut the machine down/.test(error.remedy),
  );
  await guest.destroy();
  await create('in overlay');
  assert.deepEqual(await names(), ['inside internal', 'layer layer', 'in overlay internal']);
  for (const start of [async () => undefined, async () => await guest.start()]) {
    await start();
    await assert.rejects(
      remove('layer'),
      (error) => hasCode(error, 'snapshot_blocked') && /in overlay/.test(error.remedy),
    );
  }
  await guest.destroy();
  const [image = ''] = guest.images;
  await assert.rejects(
    revertVolume({
      path: image,
      snapshot: 'inside',
      keepPresent: true,
      clock: systemClock,
      overlays: journal.overlays,
    }),
    (error) => hasCode(error, 'snapshot_blocked'),
  );
  await remove('inside');
  await remove('in overlay');
  await remove('layer');
  assert.deepEqual(await names(), []);
});

test('a disk that has grown since is as large when its overlay is gone, running and off', async () => {
  const [, second = ''] = guest.images;
  const sizeOf = (): number => JSON.parse(run('qemu-img', 'info', '--output=json', second))['virtual-size'];
  await guest.start();
  await create('small');
  await host.virsh('blockresize', 'web', 'vdb', '72MiB');
  await remove('small');
  await create('larger');
  await host.virsh('blockresize', 'web', 'vdb', '80MiB');
  await guest.destroy();
  assert.equal(sizeOf(), 72 * MiB);
  await remove('larger');
  assert.equal(sizeOf(), 80 * MiB);
  await lastRecordIn(guest.images);
});

test('a guest that cannot be frozen although it must be: the overlays are committed again, and it is thawed', async () => {
  await guest.start();
  await domain.agent.freeze(); // a second time is refused by the agent
  await assert.rejects(create('strict', 'require'), (error) => hasCode(error, 'guest_command_failed'));
  assert.equal(await domain.agent.freezeState(), 'thawed');
  assert.deepEqual(await names(), []);
  assert.deepEqual(await overlayFiles(), []);
  assert.deepEqual((await topmost())[0], [...guest.images, large]);
  await guest.destroy();
});

test('a commit that somebody left before its end keeps others out, and the deletion takes it up', async () => {
  await guest.start();
  await create('left');
  const [overlay = ''] = (await topmost())[0] ?? [];
  await domain.layers.beginCommit({ target: 'vda', top: overlay, base: guest.images[0] ?? '', isActive: true });
  for (let job = await domain.layers.job({ target: 'vda' }); job.kind !== 'active' || !job.isReady; ) {
    await sleep(100);
    job = await domain.layers.job({ target: 'vda' });
  }
  await assert.rejects(create('other'), (error) => hasCode(error, 'vm_busy') && /blockjob/.test(error.remedy));
  assert.deepEqual(await names(), ['left layer']);
  const backupXml = "<domainbackup mode='pull'><server transport='unix' socket='/tmp/none'/></domainbackup>";
  await assert.rejects(
    domain.beginBackup({ backupXml }),
    (error) => hasCode(error, 'volume_busy') && /snapshot delete/.test(error.remedy),
  );
  await remove('left');
  assert.deepEqual(await names(), []);
  assert.deepEqual(await overlayFiles(), []);
});

test('an abort in the middle of a commit ends the job; the same call goes on', async () => {
  await create('large');
  await fillLarge(256);
  const stop = new AbortController();
  const onProgress = ({ disk }: { readonly disk: string }): void => {
    if (disk === 'vdz') stop.abort(new Error('enough'));
  };
  await assert.rejects(
    deleteVmSnapshot({ domain, journal, name: 'large', allowStall: false, onProgress, signal: stop.signal }),
    /enough/,
  );
  assert.deepEqual(await domain.layers.job({ target: 'vdz' }), { kind: 'none' });
  assert.deepEqual(await names(), ['large layer deleting vda vdb']);
  await remove('large');
  assert.deepEqual(await names(), []);
  assert.deepEqual(await overlayFiles(), []);
});

test('libvirtd is killed in the middle of a commit: the call fails, and the next one goes on', async () => {
  await create('large');
  await fillLarge(256);
  let killed: Promise<void> | undefined;
  const onProgress = ({ disk }: { readonly disk: string }): void => {
    if (disk === 'vdz') killed ??= host.killLibvirtd();
  };
  await assert.rejects(deleteVmSnapshot({ domain, journal, name: 'large', allowStall: false, onProgress }), (error) =>
    hasCode(error, 'libvirt_unreachable', 'libvirt_failed'),
  );
  await killed;
  await host.startLibvirtd();
  await remove('large').catch((error: unknown) => {
    // QEMU had come to the end by itself.
    if (!hasCode(error, 'snapshot_not_found')) throw error;
  });
  assert.deepEqual(await names(), []);
  assert.deepEqual(await overlayFiles(), []);
  assert.deepEqual((await topmost())[0], [...guest.images, large]);
  await guest.destroy();
  assert.deepEqual((await topmost())[1], [...guest.images, large]);
  await lastRecordIn(guest.images);
});

test('QEMU is killed in the middle of a commit: nothing is lost, and the deletion goes on while the machine is off', async () => {
  await guest.start();
  await create('large');
  await fillLarge(256);
  let killed: Promise<void> | undefined;
  const onProgress = ({ disk, doneBytes }: { readonly disk: string; readonly doneBytes: number }): void => {
    if (disk === 'vdz' && doneBytes > 0) killed ??= host.killQemu('web');
  };
  await assert.rejects(deleteVmSnapshot({ domain, journal, name: 'large', allowStall: false, onProgress }));
  await killed;
  await domain.waitFor({ states: ['shut_off'], timeoutMs: 60_000 });
  const [live = []] = await topmost();
  const whole = await lastRecordIn(live);
  await remove('large');
  assert.deepEqual(await names(), []);
  assert.deepEqual(await overlayFiles(), []);
  assert.equal(await lastRecordIn(guest.images), whole);
});

test('a record that came to nothing is forgotten with its empty overlays; one that lost its record after the moment counts', async () => {
  const path = join(host.directory, 'web-vda-20260101T000000000Z.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', guest.images[0] ?? '', '-F', 'qcow2', path);
  await journal.overlays.write({
    uuid: domain.uuid,
    name: 'nothing',
    takenAtMs: 1,
    state: 'taking',
    consistency: undefined,
    reason: null,
    overlays: [{ target: 'vda', path }],
  });
  await guest.start();
  await create('real');
  assert.deepEqual(await names(), ['real layer']);
  assert.equal((await overlayFiles()).length, 3);
  // As if we had been killed between the overlays and the second record.
  const [record] = await journal.overlays.list(domain.uuid);
  assert.ok(record?.name === 'real');
  await journal.overlays.write({ ...record, state: 'taking', consistency: undefined });
  await create('later');
  const [real] = await listVmSnapshots({ domain, journal });
  assert.deepEqual([real?.name, real?.consistency, real?.isDeleting], ['real', undefined, false]);
  await remove('later');
  await remove('real');
  assert.deepEqual(await overlayFiles(), []);
  await guest.destroy();
  await lastRecordIn(guest.images);
});
