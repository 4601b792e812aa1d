/**
 * The rows of the failure matrix (docs/failure-matrix.md) on real guests that write all the time. After each fault a point is
 * proved by its journals, or exactly by a guest that stands still.
 */
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ErrorCode, hasCode, MiB } from '@holdfast/base';
import type { RestorePoint } from '@holdfast/engine';
import { faultyStore } from '@holdfast/testing';
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
  guest = await bed.host.makeGuest({ name: 'web', disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  await guest.start();
  await bed.backup('web');
});

after(async () => {
  await bed[Symbol.asyncDispose]();
});

/** Nothing of the backup is left, and the guest lives. */
async function assertTidy(machine: string): Promise<void> {
  const domain = await bed.libvirt.domain(machine);
  assert.equal(await domain.backupSocket(), undefined);
  assert.deepEqual(await readdir(bed.scratchDirectory), []);
  const records = await readdir(join(bed.stateDirectory, 'machines'));
  assert.deepEqual(
    records.filter((name) => name.endsWith('.json')),
    [],
  );
}

/** The next point of the guest: what it read of each disk and why, proved whole. */
async function nextPoint(machine = 'web'): Promise<RestorePoint> {
  const { point } = await bed.backup(machine);
  const files = await bed.restore(point);
  await proveJournals(files.filter((_, index) => /^vd[ab]$/.test(point.manifest.disks[index]?.name ?? '')));
  await assertTidy(machine);
  return point;
}

function kinds({ manifest }: RestorePoint): readonly string[] {
  return manifest.disks.map(({ name, actual, fallback_reason: why }) => `${name} ${actual}${why ? ` ${why}` : ''}`);
}

const bothIncremental = ['vda incremental', 'vdb incremental'];

function isCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => {
    assert.ok(hasCode(error, code), String(error));
    return true;
  };
}

test('stop and start: the bitmaps go on', async () => {
  await guest.destroy();
  await guest.start();
  assert.deepEqual(kinds(await nextPoint()), bothIncremental);
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
    const point = await nextPoint();
    assert.deepEqual(kinds(point), [`vda full ${reason}`, `vdb full ${reason}`]);
    assert.equal(point.manifest.requested, 'incremental');
    assert.deepEqual(await checkpointNames(bed.host, 'web'), [point.manifest.disks[0]?.bitmap]);
  }
  assert.deepEqual(kinds(await nextPoint()), bothIncremental);
});

test('one bitmap is removed behind our back: that disk is read in full, the other by what changed', async () => {
  const [bitmap] = await checkpointNames(bed.host, 'web');
  const domain = await bed.libvirt.domain('web');
  const drives = (await domain.monitor({ command: 'query-block' })) as readonly {
    readonly inserted?: { readonly 'node-name': string; readonly file: string };
  }[];
  const drive = drives.find(({ inserted }) => inserted?.file === guest.images[1]);
  const args = { node: drive?.inserted?.['node-name'], name: bitmap };
  await domain.monitor({ command: 'block-dirty-bitmap-remove', args });
  assert.deepEqual(kinds(await nextPoint()), ['vda incremental', 'vdb full bitmap_not_found']);
  assert.deepEqual(kinds(await nextPoint()), bothIncremental);
});

test('the checkpoint is removed behind our back: read in full, with the reason', async () => {
  const [checkpoint] = await checkpointNames(bed.host, 'web');
  await bed.host.virsh('checkpoint-delete', 'web', checkpoint ?? '');
  const { point, warnings } = await bed.backup('web');
  assert.deepEqual(kinds(point), ['vda full checkpoint_not_found', 'vdb full checkpoint_not_found']);
  assert.match(warnings.join(), /Disk vda was read in full: checkpoint_not_found/);
  assert.deepEqual(kinds(await nextPoint()), bothIncremental);
});

test('libvirt forgets the checkpoint, the bitmaps stay: they are removed, and nothing is lost', async () => {
  const [checkpoint] = await checkpointNames(bed.host, 'web');
  await bed.host.virsh('checkpoint-delete', 'web', checkpoint ?? '', '--metadata');
  assert.deepEqual(kinds(await nextPoint()), ['vda full checkpoint_not_found', 'vdb full checkpoint_not_found']);
  const info = await (await bed.libvirt.domain('web')).monitor({ command: 'query-block' });
  assert.doesNotMatch(JSON.stringify(info), new RegExp(checkpoint ?? ''));
});

test('an external snapshot by somebody else, and its commit: increments go on', async () => {
  await bed.host.virsh('snapshot-create-as', 'web', 'theirs', '--disk-only', '--atomic', '--no-metadata');
  await sleep(300);
  assert.deepEqual(kinds(await nextPoint()), bothIncremental);
  for (const disk of ['vda', 'vdb']) {
    await bed.host.virsh('blockcommit', 'web', disk, '--active', '--pivot', '--wait');
  }
  assert.deepEqual(kinds(await nextPoint()), bothIncremental);
  await bed.host.virsh('suspend', 'web');
  const { point } = await bed.backup('web');
  await assertSameContent(await bed.restore(point), guest.images);
  await bed.host.virsh('resume', 'web');
});

test('a disk grows while the machine runs: the new size is taken, and the series goes on', async () => {
  await bed.host.virsh('blockresize', 'web', 'vdb', `${80 * 1024}KiB`);
  const point = await nextPoint();
  assert.deepEqual(kinds(point), bothIncremental);
  assert.deepEqual(
    point.manifest.disks.map(({ size_bytes }) => size_bytes),
    [64 * MiB, 80 * MiB],
  );
});

test('a disk is added and taken away: a new series each time, and the old points keep it', async () => {
  const disk = join(bed.host.directory, 'disk.xml');
  await writeFile(disk, await makeLargeDisk(bed.host, { name: 'added', sizeMiB: 2 }));
  await bed.host.virsh('attach-device', 'web', disk, '--live');
  const { point: with3, warnings } = await bed.backup('web');
  assert.match(warnings.join(), /A new series begins: the disks were vda, vdb and are vda, vdb, vdz/);
  assert.deepEqual(
    with3.manifest.disks.map(({ name }) => name),
    ['vda', 'vdb', 'vdz'],
  );
  await bed.restore(with3);
  await bed.host.virsh('detach-device', 'web', disk, '--live');
  const domain = await bed.libvirt.domain('web');
  while ((await domain.xml({ which: 'live' })).includes("dev='vdz'")) await sleep(100);
  const point = await nextPoint();
  assert.deepEqual(
    point.manifest.disks.map(({ name }) => name),
    ['vda', 'vdb'],
  );
  assert.deepEqual(kinds(await nextPoint()), bothIncremental);
});

test('without an agent the point is crash-consistent and says so, or there is none; a raw disk is read in full each time', async () => {
  const mute = await bed.host.makeGuest({
    name: 'mute',
    agent: false,
    disks: [{ format: 'qcow2' }, { format: 'raw' }],
  });
  await mute.start();
  await sleep(4000); // its writer begins when it has booted
  await assert.rejects(bed.backup('mute', { consistency: 'require' }), isCode('guest_agent_missing'));
  await assertTidy('mute');
  const { point, warnings } = await bed.backup('mute');
  assert.equal(point.manifest.consistency, 'crash');
  assert.match(warnings.join(), /less consistent than it could be: .*agent/);
  const next = await nextPoint('mute');
  assert.deepEqual(kinds(next), ['vda incremental', 'vdb full a raw image keeps no bitmap']);
  const quiet = await bed.backup('mute', { consistency: 'never' });
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
  await assert.rejects(bed.backup('web', { consistency: 'require' }), isCode('guest_agent_unresponsive'));
  const { point } = await bed.backup('web');
  assert.equal(point.manifest.consistency, 'crash');
  await proveJournals(await bed.restore(point));
  await guest.waitForAgent();
  assert.equal(await domain.agent.freezeState(), 'thawed');
});

test('a machine that is being backed up is refused', async () => {
  const gate = gateBefore(bed.repository);
  const first = bed.backup('web', { repository: gate.repository, isFull: true, resource: 'instances/first' });
  await Promise.race([gate.reached, first]);
  await assert.rejects(bed.backup('web'), isCode('resource_busy'));
  gate.open();
  await proveJournals(await bed.restore((await first).point));
});

test('the storage is full: no point, and nothing left on the machine', async () => {
  const before = await checkpointNames(bed.host, 'web');
  const store = faultyStore({
    store: bed.repository.store,
    script: ({ verb, key }) =>
      verb === 'put' && key.includes('/data/') ? { kind: 'fail', code: 'storage_full' } : undefined,
  });
  await assert.rejects(bed.backup('web', { repository: { ...bed.repository, store } }), isCode('storage_full'));
  assert.deepEqual(await checkpointNames(bed.host, 'web'), before);
  await assertTidy('web');
  assert.deepEqual(kinds(await nextPoint()), bothIncremental);
});

test('libvirtd is killed in mid-backup: the point is made all the same, and the next command puts the job away', async () => {
  const gate = gateBefore(bed.repository);
  const backup = bed.backup('web', { repository: gate.repository, isFull: true });
  await Promise.race([gate.reached, backup]);
  await bed.host.killLibvirtd();
  gate.open();
  const { point, warnings } = await backup;
  assert.match(warnings.join(), /could not be put away/);
  await proveJournals(await bed.restore(point));
  await bed.host.startLibvirtd();
  const domain = await bed.libvirt.domain('web');
  assert.notEqual(await domain.backupSocket(), undefined);
  const next = await bed.backup('web');
  assert.match(next.warnings.join(), /that nobody reads any more was ended/);
  assert.deepEqual(kinds(next.point), bothIncremental);
  await assertTidy('web');
});
