import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { describeDomain } from './domain-description.ts';
import { sample } from './sample-fixture.ts';

test('a Windows machine with UEFI, TPM and an inserted medium', () => {
  const { disks, ...rest } = describeDomain(sample('windows-vtpm'));
  assert.deepEqual(rest, {
    name: 'win-srv 2022 & co',
    uuid: '9d0e57c4-3f0e-4b6c-9a11-5f2d5c9a77aa',
    title: 'Finance – Windows',
    macs: ['52:54:00:A1:B2:C3'],
    agent: 'unknown',
    uefi: true,
    nvramPath: '/var/lib/libvirt/qemu/nvram/win-srv_VARS.fd',
    emulatedTpm: '2.0',
    hostDevices: 0,
    restoredAt: undefined,
  });
  assert.deepEqual(disks[0], {
    target: 'sda',
    alias: undefined,
    device: 'disk',
    bus: 'scsi',
    readonly: false,
    shareable: false,
    source: { kind: 'file', path: '/var/lib/libvirt/images/win-srv.qcow2' },
    format: 'qcow2',
    serial: 'WIN0001',
    backing: undefined,
  });
  assert.deepEqual([disks[1]?.device, disks[1]?.readonly, disks[1]?.serial], ['cdrom', true, undefined]);
});

test('disks on Ceph, in a pool, and elsewhere on the network', () => {
  const { disks, agent, uefi, nvramPath } = describeDomain(sample('ceph'));
  assert.deepEqual([agent, uefi, nvramPath], ['absent', false, undefined]);
  assert.deepEqual(
    disks.map(({ target, source, readonly }) => ({ target, source, readonly })),
    [
      { target: 'vda', source: { kind: 'rbd', pool: 'vms', image: 'mail/root' }, readonly: false },
      { target: 'vdb', source: { kind: 'rbd', pool: 'vms', image: 'archive', snapshot: 'fixed' }, readonly: true },
      {
        target: 'vdc',
        source: { kind: 'other', name: 'iscsi:iqn.2013-07.com.example:iscsi-nopool/2' },
        readonly: false,
      },
      { target: 'vdd', source: { kind: 'volume', pool: 'default', volume: 'mail-spool.qcow2' }, readonly: false },
    ],
  );
});

test('block devices, empty drives, cards and devices of the host', () => {
  const { disks, macs, hostDevices } = describeDomain(sample('passthrough'));
  assert.deepEqual(
    disks.map(({ device, source, shareable }) => [device, source, shareable]),
    [
      ['disk', { kind: 'block', path: '/dev/vg0/router' }, true],
      ['floppy', { kind: 'none' }, false],
      ['lun', { kind: 'block', path: '/dev/disk/by-id/scsi-36000' }, false],
    ],
  );
  assert.deepEqual(macs, ['52:54:00:00:00:01', '52:54:00:00:00:02', '52:54:00:00:00:03']);
  assert.equal(hostDevices, 2);
});

test('a live machine tells its backing chain and whether the agent listens', () => {
  const { disks, agent } = describeDomain(sample('live-chain'));
  assert.equal(agent, 'connected');
  assert.deepEqual(disks[0]?.backing, [
    { source: { kind: 'file', path: '/images/middle.qcow2' }, format: 'qcow2' },
    { source: { kind: 'block', path: '/dev/vg0/base' }, format: 'raw' },
  ]);
  assert.deepEqual(disks[1]?.backing, []);
});

for (const [what, xml] of [
  ['nothing', ''],
  ['text', 'hello'],
  ['half a document', '<domain><name>x</name>'],
  ['two documents', '<domain><name>x</name></domain><domain/>'],
  ['another root', '<network><name>x</name></network>'],
  ['a DOCTYPE', '<!DOCTYPE domain [<!ENTITY a "b">]><domain><name>&a;</name></domain>'],
  ['an unknown entity', '<domain><name>&nbsp;</name></domain>'],
  ['a bare ampersand', '<domain><name>a & b</name></domain>'],
  ['an attribute without quotes', '<domain type=kvm><name>x</name></domain>'],
  ['an attribute twice', '<domain type="a" type="b"><name>x</name></domain>'],
  ['no name', '<domain><uuid>1</uuid></domain>'],
  ['a disk without a target', '<domain><name>x</name><devices><disk/></devices></domain>'],
  [
    'two disks of one target',
    '<domain><name>x</name><devices><disk><target dev="vda"/></disk><disk><target dev="vda"/></disk></devices></domain>',
  ],
  [
    'an unknown kind of disk',
    '<domain><name>x</name><devices><disk device="tape"><target dev="a"/></disk></devices></domain>',
  ],
  ['five million characters', `<domain><name>${'x'.repeat(5_000_000)}</name></domain>`],
] as const) {
  test(`${what} is no definition`, () => {
    assert.throws(
      () => describeDomain(xml),
      (error) => hasCode(error, 'vm_definition_invalid'),
    );
  });
}
