/**
 * The rows of the failure matrix (docs/failure-matrix.md) on real guests that write all the time. After each fault a point is
 * proved by its journals, or exactly by a guest that stands still.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MiB } from '@holdfast/base';
import { faultyStore } from '@holdfast/testing';
import {
  assertFailed,
  assertSameContent,
  checkpointNames,
  isCode,
  kinds,
  makeLargeDisk,
  startMachineBed,
  waitForWrites,
} from './machine-fixture.ts';

const bed = await startMachineBed();
const { guest } = bed;
await guest.start();
await bed.backup();

const bothIncremental = ['vda incremental', 'vdb incremental'];

test('stop and start: the bitmaps go on', async () => {
  await guest.destroy();
  await guest.start();
  assert.deepEqual(kinds(await bed.nextPoint()), bothIncremental);
});

test('QEMU is killed between two backups: bitmaps are lost or broken, both disks are read in full, then increments again', async () => {
  const domain = await bed.libvirt.domain('web');
  // QEMU stores bitmaps when it ends: those made since it was started are lost, the others are marked as broken.
  for (const reason of ['bitmap_not_found', 'bitmap_inconsistent']) {
    if (reason === 'bitmap_inconsistent') {
      await guest.destroy();
      await guest.start();
    }
    await bed.host.killQemu('web');
    await domain.waitFor({ states: ['shut_off'], timeoutMs: 60_000 });
    await guest.start();
    const point = await bed.nextPoint();
    assert.deepEqual(kinds(point), [`vda full ${reason}`, `vdb full ${reason}`]);
    assert.equal(point.manifest.requested, 'incremental');
    assert.deepEqual(await checkpointNames(bed.host), [point.manifest.disks[0]?.bitmap]);
  }
  assert.deepEqual(kinds(await bed.nextPoint()), bothIncremental);
});

test('one bitmap is removed behind our back: that disk is read in full, the other by what changed', async () => {
  const [bitmap] = await checkpointNames(bed.host);
  const domain = await bed.libvirt.domain('web');
  const drives = (await domain.monitor({ command: 'query-block' })) as readonly {
    readonly inserted?: { readonly 'node-name': string; readonly file: string };
  }[];
  const drive = drives.find(({ inserted }) => inserted?.file === guest.images[1]);
  const args = { node: drive?.inserted?.['node-name'], name: bitmap };
  await domain.monitor({ command: 'block-dirty-bitmap-remove', args });
  assert.deepEqual(kinds(await bed.nextPoint()), ['vda incremental', 'vdb full bitmap_not_found']);
  assert.deepEqual(kinds(await bed.nextPoint()), bothIncremental);
});

test('the checkpoint is removed behind our back: read in full, with the reason', async () => {
  const [checkpoint] = await checkpointNames(bed.host);
  await bed.host.virsh('checkpoint-delete', 'web', checkpoint ?? '');
  const { point, warnings } = await bed.backup();
  assert.deepEqual(kinds(point), ['vda full checkpoint_not_found', 'vdb full checkpoint_not_found']);
  assert.match(warnings.join(), /Disk vda was read in full: checkpoint_not_found/);
  assert.deepEqual(kinds(await bed.nextPoint()), bothIncremental);
});

test('libvirt forgets the checkpoint, the bitmaps stay: they are removed, and nothing is lost', async () => {
  const [checkpoint] = await checkpointNames(bed.host);
  await bed.host.virsh('checkpoint-delete', 'web', checkpoint ?? '', '--metadata');
  assert.deepEqual(kinds(await bed.nextPoint()), ['vda full checkpoint_not_found', 'vdb full checkpoint_not_found']);
  const info = await (await bed.libvirt.domain('web')).monitor({ command: 'query-block' });
  assert.doesNotMatch(JSON.stringify(info), new RegExp(checkpoint ?? ''));
});

test('an external snapshot by somebody else, and its commit: increments go on', async () => {
  await bed.host.virsh('snapshot-create-as', 'web', 'theirs', '--disk-only', '--atomic', '--no-metadata');
  await sleep(300);
  assert.deepEqual(kinds(await bed.nextPoint()), bothIncremental);
  for (const disk of ['vda', 'vdb']) {
    await bed.host.virsh('blockcommit', 'web', disk, '--active', '--pivot', '--wait');
  }
  assert.deepEqual(kinds(await bed.nextPoint()), bothIncremental);
  await bed.host.virsh('suspend', 'web');
  await bed.exactPoint(guest.images);
  await bed.host.virsh('resume', 'web');
});

test('a disk grows while the machine runs: the new size is taken, and the series goes on', async () => {
  await bed.host.virsh('blockresize', 'web', 'vdb', `${80 * 1024}KiB`);
  const point = await bed.nextPoint();
  assert.deepEqual(kinds(point), bothIncremental);
  assert.deepEqual(
    point.manifest.disks.map(({ size_bytes }) => size_bytes),
    [64 * MiB, 80 * MiB],
  );
});

test('a disk is added and taken away: it is read in full, the others and the series go on, old points keep it', async () => {
  const disk = join(bed.host.directory, 'disk.xml');
  await writeFile(disk, await makeLargeDisk(bed.host, { name: 'added', sizeMiB: 2 }));
  const before = await bed.nextPoint();
  await bed.host.virsh('attach-device', 'web', disk, '--live');
  const added = await bed.nextPoint();
  const again = await bed.nextPoint();
  await bed.host.virsh('detach-device', 'web', disk, '--live');
  const domain = await bed.libvirt.domain('web');
  while ((await domain.xml({ which: 'live' })).includes("dev='vdz'")) await sleep(100);
  const taken = await bed.nextPoint();
  assert.deepEqual([added, again, taken].map(kinds), [
    [...bothIncremental, 'vdz full new_disk'],
    [...bothIncremental, 'vdz incremental'],
    bothIncremental,
  ]);
  const { series, increment_id: first } = before.manifest;
  assert.deepEqual(
    [added, again, taken].map(({ manifest }) => [manifest.series, manifest.increment_id]),
    [1, 2, 3].map((more) => [series, (first ?? 0) + more]),
  );
  const [, , restored = ''] = await bed.restore(again);
  await assertSameContent([restored], [join(bed.host.directory, 'added.qcow2')]);
  assert.deepEqual(kinds(await bed.nextPoint()), bothIncremental);
});

test('which disks are wanted changes: a new series each time', async () => {
  const resource = 'instances/chosen';
  const points = [];
  for (const disks of ['all', 'primary', 'all', ['vda'], ['vda', 'vdb'], 'all'] as const) {
    points.push((await bed.backup({ resource, disks })).point);
  }
  assert.deepEqual(
    points.map(({ manifest }) => manifest.increment_id),
    // All by name are the same as all.
    [1, 1, 1, 1, 1, 2],
  );
});

test('without an agent the point is crash-consistent and says so, or there is none; a raw disk is read in full each time', async () => {
  const mute = await bed.host.makeGuest({
    name: 'mute',
    agent: false,
    disks: [{ format: 'qcow2' }, { format: 'raw' }],
  });
  await mute.start();
  await waitForWrites(bed.host, 'mute');
  await assert.rejects(bed.backup({ machine: 'mute', consistency: 'require' }), isCode('guest_agent_missing'));
  await bed.assertTidy('mute');
  const { point, warnings } = await bed.backup({ machine: 'mute' });
  assert.equal(point.manifest.consistency, 'crash');
  assert.match(warnings.join(), /less consistent than it could be: .*agent/);
  const next = await bed.nextPoint({ machine: 'mute' });
  assert.deepEqual(kinds(next), ['vda incremental', 'vdb full a raw image keeps no bitmap']);
  const quiet = await bed.backup({ machine: 'mute', consistency: 'never' });
  assert.doesNotMatch(quiet.warnings.join(), /less consistent/);
  await mute.destroy();
  await mute.undefine();
});

test('an agent that hangs is not waited for: crash-consistent, or refused', async () => {
  const domain = await bed.libvirt.domain('web');
  const script =
    '(sleep 0.3; kill -STOP $(pidof qemu-ga); sleep 25; kill -CONT $(pidof qemu-ga)) >/dev/null 2>&1 </dev/null &';
  await domain.agent.run({ program: '/bin/sh', args: ['-c', script], timeoutMs: 60_000 });
  await sleep(700);
  await assert.rejects(bed.backup({ consistency: 'require' }), isCode('guest_agent_unresponsive'));
  const { point } = await bed.backup();
  assert.equal(point.manifest.consistency, 'crash');
  await bed.prove(point);
  await guest.waitForAgent();
  assert.equal(await domain.agent.freezeState(), 'thawed');
});

test('a machine that is being backed up is refused', async () => {
  const first = await bed.backupMeanwhile(
    async () => assertFailed((await Promise.allSettled([bed.backup()]))[0], 'resource_busy'),
    { isFull: true, resource: 'instances/first' },
  );
  assert.ok(first.status === 'fulfilled', String(first.status === 'rejected' && first.reason));
  await bed.prove(first.value.point);
});

test('the storage is full: no point, and nothing left on the machine', async () => {
  const before = await checkpointNames(bed.host);
  const store = faultyStore({
    store: bed.repository.store,
    script: ({ verb, key }) =>
      verb === 'put' && key.includes('/data/') ? { kind: 'fail', code: 'storage_full' } : undefined,
  });
  await assert.rejects(bed.backup({ repository: { ...bed.repository, store } }), isCode('storage_full'));
  assert.deepEqual(await checkpointNames(bed.host), before);
  await bed.assertTidy();
  assert.deepEqual(kinds(await bed.nextPoint()), bothIncremental);
});

test('libvirtd is killed in mid-backup: the point is made all the same, and the next command puts the job away', async () => {
  const result = await bed.backupMeanwhile(() => bed.host.killLibvirtd(), { isFull: true });
  assert.ok(result.status === 'fulfilled', String(result.status === 'rejected' && result.reason));
  const { point, warnings } = result.value;
  assert.match(warnings.join(), /could not be put away/);
  await bed.prove(point);
  await bed.host.startLibvirtd();
  const domain = await bed.libvirt.domain('web');
  assert.notEqual(await domain.backupSocket(), undefined);
  const next = await bed.backup();
  assert.match(next.warnings.join(), /that nobody reads any more was ended/);
  assert.deepEqual(kinds(next.point), bothIncremental);
  await bed.assertTidy();
});
