import assert from 'node:assert/strict';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '@holdfast/base';
import { proveJournals } from '@holdfast/testing/guests';
import { Libvirt } from '../libvirt/index.ts';
import { openElsewhere, run } from '../testing/scratch-directory.ts';
import { cloneSnapshot, createVmSnapshot, deleteVmSnapshot, listVmSnapshots, readQcow2Snapshots } from './index.ts';
import { startSnapshotBed, usual } from './snapshot-fixture.ts';

const { host, guest, domain, journal } = await startSnapshotBed();

/** New images of what the disks were at the snapshot. */
async function clones(snapshot: string): Promise<readonly string[]> {
  const made: string[] = [];
  for (const [index, path] of guest.images.entries()) {
    const clone = join(host.directory, `${snapshot}-${index}.qcow2`);
    await cloneSnapshot({ path, snapshot, target: { path: clone, format: 'qcow2' } });
    made.push(clone);
  }
  return made;
}

async function assertInStep(images: readonly string[], { frozen }: { readonly frozen: boolean }): Promise<void> {
  const reports = await proveJournals(images);
  assert.ok(reports[0].last > 0);
  if (!frozen) return;
  for (const { needs_recovery: isUnclean } of reports) assert.equal(isUnclean, 0);
}

test('a running machine: frozen, all disks of one moment, cloned while it runs, deleted while it runs', async () => {
  await guest.start();
  await sleep(300);
  const created = await createVmSnapshot({ domain, journal, name: 'live', ...usual, consistency: 'require' });
  assert.equal(created.consistency, 'filesystem');
  assert.ok(created.frozenMs !== undefined && created.frozenMs > 0);
  assert.equal(await domain.agent.freezeState(), 'thawed');
  assert.deepEqual(
    created.disks.map(({ target }) => target),
    ['vda', 'vdb'],
  );
  await createVmSnapshot({ domain, journal, name: 'unfrozen', ...usual, consistency: 'never' });
  await assert.rejects(createVmSnapshot({ domain, journal, name: 'live', ...usual }), (error) =>
    hasCode(error, 'snapshot_exists'),
  );
  await assertInStep(await clones('live'), { frozen: true });
  await assertInStep(await clones('unfrozen'), { frozen: false });

  const listed = await listVmSnapshots({ domain, journal });
  assert.deepEqual(
    listed.map(({ name, consistency, missing }) => ({ name, consistency, missing })),
    [
      { name: 'live', consistency: 'filesystem', missing: [] },
      { name: 'unfrozen', consistency: 'crash', missing: [] },
    ],
  );
  await deleteVmSnapshot({ domain, journal, name: 'live', allowStall: false });
  await assert.rejects(deleteVmSnapshot({ domain, journal, name: 'live', allowStall: false }), (error) =>
    hasCode(error, 'snapshot_not_found'),
  );
  await deleteVmSnapshot({ domain, journal, name: 'unfrozen', allowStall: false });
  await guest.destroy();
  await assertInStep(guest.images, { frozen: false });
  for (const image of guest.images) run('qemu-img', 'check', '-q', image);
});

test('while a backup runs, nothing is taken or deleted, and the guest is thawed', async () => {
  await guest.start();
  await createVmSnapshot({ domain, journal, name: 'kept', ...usual, consistency: 'never' });
  const directory = join(host.directory, 'backup');
  await mkdir(directory);
  await chmod(directory, 0o777);
  const disk = `<disk name='vda' backup='yes' type='file'><driver type='qcow2'/><scratch file='${directory}/s'/></disk>`;
  await domain.beginBackup({
    backupXml: `<domainbackup mode='pull'><server transport='unix' socket='${directory}/nbd'/><disks>${disk}</disks></domainbackup>`,
  });
  for (const attempt of [
    () => createVmSnapshot({ domain, journal, name: 'frozen', ...usual }),
    () => createVmSnapshot({ domain, journal, name: 'crash', ...usual, consistency: 'never' }),
    () => deleteVmSnapshot({ domain, journal, name: 'kept', allowStall: false }),
  ]) {
    await assert.rejects(attempt, (error) => hasCode(error, 'vm_busy'));
  }
  assert.equal(await domain.agent.freezeState(), 'thawed');
  await domain.abortJob();
  assert.deepEqual(
    (await listVmSnapshots({ domain, journal })).map(({ name, missing }) => ({ name, missing })),
    [{ name: 'kept', missing: [] }],
  );
  await deleteVmSnapshot({ domain, journal, name: 'kept', allowStall: false });
  await guest.destroy();
});

test('a machine that is off: one disk in use undoes the others; a snapshot that misses disks says so', async () => {
  const created = await createVmSnapshot({ domain, journal, name: 'off', ...usual });
  // It was turned off hard.
  assert.deepEqual([created.consistency, created.frozenMs], ['crash', undefined]);
  assert.match(created.reason ?? '', /destroyed/);
  const [, second = ''] = guest.images;
  const inUse = await openElsewhere(second);
  await assert.rejects(createVmSnapshot({ domain, journal, name: 'half', ...usual }), (error) =>
    hasCode(error, 'volume_busy'),
  );
  for (const path of guest.images) {
    const { snapshots } = await readQcow2Snapshots({ path });
    assert.deepEqual(
      snapshots.map(({ name }) => name),
      ['off'],
    );
  }
  await inUse[Symbol.asyncDispose]();
  run('qemu-img', 'snapshot', '-d', 'off', second);
  const [listed] = await listVmSnapshots({ domain, journal });
  assert.deepEqual(listed?.missing, ['vdb']);
  await deleteVmSnapshot({ domain, journal, name: 'off', allowStall: false });
  assert.deepEqual(await listVmSnapshots({ domain, journal }), []);
});

test('without an agent: crash-consistent and why, or refused; nothing is left of what was refused', async () => {
  const mute = await host.makeGuest({ agent: false });
  await mute.start();
  const other = await new Libvirt({ uri: host.uri }).domain(mute.name);
  await assert.rejects(
    createVmSnapshot({ domain: other, journal, name: 'strict', ...usual, consistency: 'require' }),
    (error) => hasCode(error, 'guest_agent_missing'),
  );
  assert.deepEqual(await listVmSnapshots({ domain: other, journal }), []);
  const { consistency, reason } = await createVmSnapshot({ domain: other, journal, name: 'loose', ...usual });
  assert.equal(consistency, 'crash');
  assert.match(reason ?? '', /agent/);
  await mute.destroy();
  await mute.undefine();
});

test('a raw disk refuses the whole machine; what would let a running one stand still is refused, or is an overlay', async () => {
  const mixed = await host.makeGuest({ disks: [{ format: 'qcow2' }, { format: 'raw' }], writer: 'off' });
  const other = await new Libvirt({ uri: host.uri }).domain(mixed.name);
  await assert.rejects(
    createVmSnapshot({ domain: other, journal, name: 's', ...usual }),
    (error) => hasCode(error, 'image_unsupported') && /convert/.test(error.remedy) && /vdb/.test(error.message),
  );
  const large = join(host.directory, 'large.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', large, '80G');
  run('chmod', '666', large);
  const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${large}'/><target dev='vdz' bus='virtio'/></disk>`;
  const big = await host.makeGuest({ writer: 'off', agent: false, devices: disk });
  const heavy = await new Libvirt({ uri: host.uri }).domain(big.name);
  const { consistency } = await createVmSnapshot({ domain: heavy, journal, name: 'off', ...usual });
  assert.equal(consistency, 'clean');
  await big.start();
  await assert.rejects(
    deleteVmSnapshot({ domain: heavy, journal, name: 'off', allowStall: false }),
    (error) => hasCode(error, 'snapshot_would_stall') && /--allow-stall/.test(error.remedy),
  );
  const { kind } = await createVmSnapshot({ domain: heavy, journal, name: 's', ...usual });
  assert.equal(kind, 'layer');
  await deleteVmSnapshot({ domain: heavy, journal, name: 's', allowStall: false });
  assert.deepEqual(
    (await listVmSnapshots({ domain: heavy, journal })).map(({ name }) => name),
    ['off'],
  );
  await big.destroy();
  run('qemu-img', 'check', '-q', large);
});
