/**
 * Backups of a machine whose disks lie in layers (docs/adr/0012-overlay-snapshots.md): before, between and after, running and off,
 * and when QEMU was killed. A point is proved by its journals, or byte for byte by a machine that stands still.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@holdfast/base';
import { describeDomain } from '@holdfast/hypervisor/libvirt';
import { createVmSnapshot, deleteVmSnapshot, listVmSnapshots, SnapshotJournal } from '@holdfast/hypervisor/snapshot';
import { proveJournals, readJournals } from '@holdfast/testing/guests';
import { checkpointNames, isCode, kinds, startMachineBed } from './machine-fixture.ts';
import { restoreVmSnapshot } from './restore.ts';

const bed = await startMachineBed({
  devicesOn: async (host) => {
    const large = join(host.directory, 'large.qcow2');
    await host.run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', large, '80G');
    return `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${large}'/><target dev='vdz' bus='virtio'/></disk>`;
  },
});
const { guest } = bed;
const domain = await bed.libvirt.domain('web');
const journal = new SnapshotJournal({ stateDirectory: bed.stateDirectory });
await guest.start();

async function create(name: string): Promise<void> {
  const wish = { consistency: 'never', agentTimeoutMs: 10_000, allowStall: false, clock: systemClock } as const;
  const { kind } = await createVmSnapshot({ domain, journal, name, ...wish });
  assert.equal(kind, 'layer');
}

async function remove(name: string): Promise<void> {
  await deleteVmSnapshot({ domain, journal, name, allowStall: false });
}

/** Without the large disk, which nobody writes to. */
const two = { disks: ['vda', 'vdb'] } as const;

const bothIncremental = ['vda incremental', 'vdb incremental'];

const bothFull = (why: string): readonly string[] => [`vda full ${why}`, `vdb full ${why}`];

async function topmost(): Promise<readonly string[]> {
  const { disks } = describeDomain(await domain.xml({ which: 'stored' }));
  return disks.flatMap(({ source, target }) => (source.kind === 'file' && target !== 'vdz' ? [source.path] : []));
}

/** A point of the machine as it stands still, byte for byte. */
async function exactPoint(): Promise<readonly string[]> {
  const isRunning = (await domain.status()).state === 'running';
  if (isRunning) await domain.pause();
  const point = await bed.exactPoint(await topmost(), two);
  if (isRunning) await domain.resume();
  return kinds(point);
}

test('increments go on over an overlay, over two, and over their commits', async () => {
  await bed.backup(two);
  await sleep(200);
  await create('one');
  await sleep(200);
  assert.deepEqual(await exactPoint(), bothIncremental);
  await create('two');
  await sleep(200);
  assert.deepEqual(await exactPoint(), bothIncremental);
  await sleep(200);
  await remove('one');
  await sleep(200);
  assert.deepEqual(await exactPoint(), bothIncremental);
  await sleep(200);
  await remove('two');
  await sleep(200);
  assert.deepEqual(await exactPoint(), bothIncremental);
  assert.equal((await checkpointNames(bed.host)).length, 1);
});

test('a start between overlay and backup: increments go on', async () => {
  await create('three');
  await sleep(200);
  await guest.destroy();
  await guest.start();
  await sleep(200);
  assert.deepEqual(await exactPoint(), bothIncremental);
});

test('off, a bitmap that lies in layers is not trusted: in full once, with the reason, and then increments again', async () => {
  await create('four');
  await sleep(200);
  await guest.destroy();
  assert.deepEqual(await exactPoint(), bothFull('bitmap_in_layers'));
  assert.deepEqual(await exactPoint(), bothIncremental);
  await guest.start();
  await sleep(200);
  assert.deepEqual(await exactPoint(), bothIncremental);
});

test('off, layers are committed with what their bitmaps have noted', async () => {
  await sleep(200);
  await guest.destroy();
  await remove('three');
  assert.deepEqual(await exactPoint(), bothIncremental);
  await remove('four');
  assert.deepEqual(await topmost(), guest.images);
  assert.deepEqual(await exactPoint(), bothIncremental);
  await guest.start();
  await sleep(200);
  assert.deepEqual(await exactPoint(), bothIncremental);
});

test('QEMU is killed over an overlay: what is left of bitmaps below it is not trusted, before and after the commit', async () => {
  for (const isCommittedFirst of [false, true]) {
    await guest.destroy();
    await guest.start();
    await bed.backup(two);
    await create('five');
    await sleep(300);
    await bed.host.killQemu('web');
    await domain.waitFor({ states: ['shut_off'], timeoutMs: 60_000 });
    await guest.start();
    await sleep(200);
    if (isCommittedFirst) await remove('five');
    const seen = await exactPoint();
    if (!isCommittedFirst) assert.deepEqual(seen, bothFull('bitmap_not_found'));
    assert.deepEqual(await exactPoint(), bothIncremental);
    if (!isCommittedFirst) await remove('five');
    assert.deepEqual(await exactPoint(), bothIncremental);
  }
});

test('a machine goes back to a snapshot with overlays; the old images are named, and the next backup reads in full', async () => {
  await create('six');
  await sleep(300);
  await create('seven');
  await sleep(200);
  await guest.destroy();
  const old = await topmost();
  const whole = await readJournals(old);
  const restore = { libvirt: bed.libvirt, domain, journal, snapshot: 'six', clock: systemClock };
  const [record] = await journal.overlays.list(domain.uuid);
  assert.ok(record?.name === 'six');
  await journal.overlays.write({ ...record, state: 'deleting' });
  await assert.rejects(restoreVmSnapshot(restore), isCode('snapshot_incomplete'));
  await journal.overlays.write(record);
  const { disks, replaced } = await restoreVmSnapshot(restore);
  const fresh = disks.filter(({ name }) => name !== 'vdz').map(({ path }) => path);
  assert.deepEqual(await topmost(), fresh);
  assert.ok((await proveJournals(fresh))[0].last < (whole[0]?.last ?? 0));
  assert.equal(replaced.length, 9);
  assert.ok([...old, ...guest.images].every((image) => replaced.some(({ path }) => path === image)));
  assert.deepEqual(await readJournals(old), whole);
  assert.deepEqual(await listVmSnapshots({ domain, journal }), []);
  await assert.rejects(remove('six'), isCode('snapshot_not_found'));
  assert.deepEqual(await readJournals(old), whole);
  await guest.start();
  const { point } = await bed.backup(two);
  assert.deepEqual(kinds(point), ['vda full', 'vdb full']);
  await bed.prove(point);
});
