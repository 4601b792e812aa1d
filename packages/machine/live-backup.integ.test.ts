import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { hasCode } from '@holdfast/base';
import type { TinyGuest } from '@holdfast/testing/guests';
import { guestConfigurationOf } from './guest-configuration.ts';
import {
  assertSameContent,
  checkpointNames,
  type MachineBed,
  proveJournals,
  startMachineBed,
} from './machine-fixture.ts';

let bed: MachineBed;
let guest: TinyGuest;

before(async () => {
  bed = await startMachineBed();
  guest = await bed.host.makeGuest({ name: 'web', disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  await guest.start();
});

after(async () => {
  await bed[Symbol.asyncDispose]();
});

test('a running machine is backed up while it writes: in full, then by what changed, all disks of one moment', async () => {
  const records: number[] = [];
  for (const kind of ['full', 'incremental', 'incremental'] as const) {
    const { point, warnings, frozenMs } = await bed.backup('web');
    assert.deepEqual(warnings, []);
    const { manifest } = point;
    assert.equal(manifest.actual, kind);
    assert.equal(manifest.consistency, 'filesystem');
    assert.ok(frozenMs !== undefined && frozenMs > 0);
    assert.deepEqual(await checkpointNames(bed.host, 'web'), [manifest.disks[0]?.bitmap]);
    records.push(await proveJournals(await bed.restore(point)));
    if (kind === 'incremental') {
      for (const { counters, size_bytes: size } of manifest.disks) assert.ok(counters.read_bytes < size / 2);
    }
  }
  assert.deepEqual(
    records.toSorted((a, b) => a - b),
    records,
  );
  assert.ok(new Set(records).size === 3, `the guest wrote between the points: ${records.join()}`);
});

test('nothing is left behind: no job, no scratch, no record; the guest writes on', async () => {
  const domain = await bed.libvirt.domain('web');
  assert.equal(await domain.hasJob(), false);
  assert.equal(await domain.agent.freezeState(), 'thawed');
  assert.deepEqual(await readdir(bed.scratchDirectory), []);
  assert.deepEqual(
    (await readdir(`${bed.stateDirectory}/machines`)).filter((name) => name.endsWith('.json')),
    [],
  );
});

test('an increment of a paused machine is exactly what its disks hold, and says that it was not frozen', async () => {
  await bed.host.virsh('suspend', 'web');
  const { point, warnings } = await bed.backup('web');
  await assertSameContent(await bed.restore(point), guest.images);
  assert.equal(point.manifest.consistency, 'crash');
  assert.equal(point.manifest.actual, 'incremental');
  assert.match(warnings.join(), /web is paused, so its guest cannot be frozen/);
  await assert.rejects(bed.backup('web', { consistency: 'require' }), (error) => hasCode(error, 'vm_state_invalid'));
  await bed.host.virsh('resume', 'web');
});

test('a point keeps the definition, and which disk was what', async () => {
  const { point } = await bed.backup('web');
  const configuration = await guestConfigurationOf({ repository: bed.repository, point });
  assert.match(configuration?.domain_xml ?? '', /<name>web<\/name>/);
  assert.deepEqual(
    configuration?.disks.map(({ name, bus, format, source, backing }) => ({ name, bus, format, source, backing })),
    ['vda', 'vdb'].map((name, index) => ({
      name,
      bus: 'virtio',
      format: 'qcow2',
      source: { kind: 'file', path: guest.images[index] },
      backing: [],
    })),
  );
});

test('one disk by name, or the first; what the machine has not is refused', async () => {
  const resource = 'instances/web-data';
  const { point } = await bed.backup('web', { resource, disks: ['vdb'] });
  assert.deepEqual(
    point.manifest.disks.map(({ name }) => name),
    ['vdb'],
  );
  const primary = await bed.backup('web', { resource: 'instances/web-primary', disks: 'primary' });
  assert.deepEqual(
    primary.point.manifest.disks.map(({ name }) => name),
    ['vda'],
  );
  const again = await bed.backup('web', { resource, disks: ['vdb'] });
  assert.equal(again.point.manifest.actual, 'incremental');
  await assert.rejects(
    bed.backup('web', { disks: ['vda', 'vdx'] }),
    (error) => hasCode(error, 'vm_disk_not_found') && error.remedy.includes('vda, vdb'),
  );
  await assert.rejects(bed.backup('nobody'), (error) => hasCode(error, 'vm_not_found'));
});

test('a full backup begins a new series', async () => {
  const { point: before } = await bed.backup('web');
  const { point } = await bed.backup('web', { isFull: true });
  assert.equal(point.manifest.actual, 'full');
  assert.equal(point.manifest.increment_id, 1);
  assert.notEqual(point.manifest.series, before.manifest.series);
});
