import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { guestConfigurationOf } from './guest-configuration.ts';
import { checkpointNames, isCode, startMachineBed } from './machine-fixture.ts';

const bed = await startMachineBed();
const { guest } = bed;
await guest.start();

test('a running machine is backed up while it writes: in full, then by what changed, all disks of one moment', async () => {
  const records: number[] = [];
  for (const kind of ['full', 'incremental', 'incremental'] as const) {
    const { point, warnings, frozenMs } = await bed.backup();
    assert.deepEqual(warnings, []);
    const { manifest } = point;
    assert.equal(manifest.actual, kind);
    assert.equal(manifest.consistency, 'filesystem');
    assert.ok(frozenMs !== undefined && frozenMs > 0);
    assert.deepEqual(await checkpointNames(bed.host), [manifest.disks[0]?.bitmap]);
    records.push(await bed.prove(point));
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
  await bed.assertTidy();
  const domain = await bed.libvirt.domain('web');
  assert.equal(await domain.agent.freezeState(), 'thawed');
});

test('an increment of a paused machine is exactly what its disks hold, and says that it was not frozen', async () => {
  await bed.host.virsh('suspend', 'web');
  const point = await bed.exactPoint(guest.images);
  assert.equal(point.manifest.consistency, 'crash');
  assert.equal(point.manifest.actual, 'incremental');
  assert.match((await bed.backup()).warnings.join(), /web is paused, so its guest cannot be frozen/);
  await assert.rejects(bed.backup({ consistency: 'require' }), isCode('vm_state_invalid'));
  await bed.host.virsh('resume', 'web');
});

test('a point keeps the definition, and which disk was what', async () => {
  const { point } = await bed.backup();
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
  const { point } = await bed.backup({ resource, disks: ['vdb'] });
  assert.deepEqual(
    point.manifest.disks.map(({ name }) => name),
    ['vdb'],
  );
  const primary = await bed.backup({ resource: 'instances/web-primary', disks: 'primary' });
  assert.deepEqual(
    primary.point.manifest.disks.map(({ name }) => name),
    ['vda'],
  );
  const again = await bed.backup({ resource, disks: ['vdb'] });
  assert.equal(again.point.manifest.actual, 'incremental');
  await assert.rejects(
    bed.backup({ disks: ['vda', 'vdx'] }),
    (error) => hasCode(error, 'vm_disk_not_found') && error.remedy.includes('vda, vdb'),
  );
  await assert.rejects(bed.backup({ machine: 'nobody' }), isCode('vm_not_found'));
});

test('a full backup begins a new series', async () => {
  const { point: before } = await bed.backup();
  const { point } = await bed.backup({ isFull: true });
  assert.equal(point.manifest.actual, 'full');
  assert.equal(point.manifest.increment_id, 1);
  assert.notEqual(point.manifest.series, before.manifest.series);
});
