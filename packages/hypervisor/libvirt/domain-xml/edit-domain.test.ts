import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { describeDomain } from './domain-description.ts';
import { editDomain } from './edit-domain.ts';
import { difference, sample, sampleNames } from './sample-fixture.ts';

test('without changes a definition means what it meant, and is written the same way again', () => {
  for (const name of sampleNames) {
    const once = editDomain(sample(name), {});
    assert.deepEqual(difference(sample(name), once), name === 'live-chain' ? ['- domain @id=7'] : [], name);
    assert.equal(editDomain(once, {}), once);
  }
  assert.match(editDomain(sample('passthrough'), {}), /^\s*<!-- edited by hand -->\s*<domain/);
  assert.match(editDomain(sample('windows-vtpm'), {}), /<!-- system -->/);
});

test('a new identity reaches every place that repeats the old one, and nothing else', () => {
  const xml = sample('windows-vtpm');
  const edited = editDomain(xml, {
    name: 'copy',
    uuid: '11111111-2222-3333-4444-555555555555',
    macs: new Map([['52:54:00:a1:b2:c3', '52:54:00:00:00:99']]),
    disks: new Map([
      ['sda', { kind: 'file', path: '/restored/a & b.raw', format: 'raw' }],
      ['sdb', { kind: 'none' }],
    ]),
  });
  assert.deepEqual(difference(xml, edited), [
    '- domain/name1 "win-srv 2022 & co"',
    '- domain/uuid1 "9d0e57c4-3f0e-4b6c-9a11-5f2d5c9a77aa"',
    '- domain/genid1 "43dc0cf8-809b-4adb-9bea-a9abb5f3d90e"',
    '- domain/sysinfo1/system1/entry2 "9d0e57c4-3f0e-4b6c-9a11-5f2d5c9a77aa"',
    '- domain/os1/nvram1 "/var/lib/libvirt/qemu/nvram/win-srv_VARS.fd"',
    '- domain/devices1/disk1/driver1 @type=qcow2',
    '- domain/devices1/disk1/source1 @file=/var/lib/libvirt/images/win-srv.qcow2',
    '- domain/devices1/disk2/source1',
    '- domain/devices1/disk2/source1 @file=/srv/iso/virtio-win.iso',
    '- domain/devices1/interface1/mac1 @address=52:54:00:A1:B2:C3',
    '+ domain/name1 "copy"',
    '+ domain/uuid1 "11111111-2222-3333-4444-555555555555"',
    '+ domain/sysinfo1/system1/entry2 "11111111-2222-3333-4444-555555555555"',
    '+ domain/devices1/disk1/driver1 @type=raw',
    '+ domain/devices1/disk1/source1 @file=/restored/a & b.raw',
    '+ domain/devices1/interface1/mac1 @address=52:54:00:00:00:99',
  ]);
  assert.equal(describeDomain(editDomain(xml, { uuid: 'u', nvramPath: '/x.fd' })).nvramPath, '/x.fd');
});

test('a machine whose firmware libvirt chooses can be told where its variables are', () => {
  const chosen = "<domain><name>a</name><os firmware='efi'><type>hvm</type></os></domain>";
  assert.equal(describeDomain(editDomain(chosen, { nvramPath: '/x.fd' })).nvramPath, '/x.fd');
});

test('when a machine was restored is noted among what others note, once', () => {
  for (const name of sampleNames) {
    const once = editDomain(sample(name), { restoredAt: '2026-11-21T10:00:00.000Z' });
    assert.equal(describeDomain(once).restoredAt, '2026-11-21T10:00:00.000Z');
    const twice = editDomain(once, { restoredAt: '2026-11-22T10:00:00.000Z' });
    assert.equal(describeDomain(twice).restoredAt, '2026-11-22T10:00:00.000Z');
    assert.equal(twice.match(/restored-at/g)?.length, 1);
    assert.equal(describeDomain(sample(name)).restoredAt, undefined);
  }
  assert.match(editDomain(sample('windows-vtpm'), { restoredAt: 'x' }), /libosinfo:os id=[^]*holdfast:instance/);
});

test('a disk moves from Ceph, a volume or a LUN into a file, with no trace of where it was', () => {
  const place = { kind: 'file', path: '/restored/vda.qcow2', format: 'qcow2' } as const;
  const ceph = sample('ceph');
  assert.deepEqual(difference(ceph, editDomain(ceph, { disks: new Map([['vda', place]]) })), [
    '- domain/devices1/disk1 @type=network',
    '- domain/devices1/disk1/driver1 @type=raw',
    '- domain/devices1/disk1/auth1',
    '- domain/devices1/disk1/auth1 @username=libvirt',
    '- domain/devices1/disk1/auth1/secret1',
    '- domain/devices1/disk1/auth1/secret1 @type=ceph',
    '- domain/devices1/disk1/auth1/secret1 @uuid=0c2b4ef2-d0a4-4a02-bd08-93c4b1b6b3c1',
    '- domain/devices1/disk1/source1 @name=vms/mail/root',
    '- domain/devices1/disk1/source1 @protocol=rbd',
    '- domain/devices1/disk1/source1/host1',
    '- domain/devices1/disk1/source1/host1 @name=10.0.0.1',
    '- domain/devices1/disk1/source1/host1 @port=6789',
    '- domain/devices1/disk1/source1/host2',
    '- domain/devices1/disk1/source1/host2 @name=10.0.0.2',
    '- domain/devices1/disk1/source1/host2 @port=6789',
    '+ domain/devices1/disk1 @type=file',
    '+ domain/devices1/disk1/driver1 @type=qcow2',
    '+ domain/devices1/disk1/source1 @file=/restored/vda.qcow2',
  ]);
  const [, , lun] = describeDomain(editDomain(sample('passthrough'), { disks: new Map([['sda', place]]) })).disks;
  assert.deepEqual([lun?.device, lun?.source], ['disk', { kind: 'file', path: '/restored/vda.qcow2' }]);
});

test('a disk of a live definition loses its chain and its mirror; one can be left out', () => {
  const xml = sample('live-chain');
  const disks = new Map([
    ['vda', { kind: 'block', path: '/dev/vg0/new', format: 'raw' }] as const,
    ['vdb', { kind: 'file', path: '/new.raw', format: 'raw' }] as const,
  ]);
  const edited = editDomain(xml, { disks });
  assert.doesNotMatch(edited, /backingStore|mirror|index=|elsewhere/);
  assert.deepEqual(
    describeDomain(edited).disks.map(({ source }) => source),
    [
      { kind: 'block', path: '/dev/vg0/new' },
      { kind: 'file', path: '/new.raw' },
    ],
  );
  const without = editDomain(xml, { disks: new Map([['vda', { kind: 'remove' }]]) });
  assert.deepEqual(
    describeDomain(without).disks.map(({ target }) => target),
    ['vdb'],
  );
  assert.doesNotMatch(without, /^\s*$/m);
});

test('a disk that is not there, or may not be empty, is refused', () => {
  const none = { kind: 'none' } as const;
  assert.throws(
    () => editDomain(sample('ceph'), { disks: new Map([['vdz', none]]) }),
    (error) => hasCode(error, 'vm_disk_not_found'),
  );
  assert.throws(
    () => editDomain(sample('ceph'), { disks: new Map([['vda', none]]) }),
    (error) => hasCode(error, 'incompatible_target'),
  );
  for (const changes of [{ nvramPath: '/x' }, { name: 'a\u0001b' }]) {
    assert.throws(
      () => editDomain(sample('ceph'), changes),
      (error) => hasCode(error, 'vm_definition_invalid'),
    );
  }
});

test('names and paths of any characters come back as they were given', () => {
  // What XML can hold; libvirt trims names.
  const characters = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
    .map((text) => `x${text.replace(/[\p{Cc}\p{Cs}\uFFFE\uFFFF]/gu, '_')}x`);
  const words = fc.oneof(characters, fc.constantFrom('lost \uFFFD once', 'two\u2028lines'));
  fc.assert(
    fc.property(fc.constantFrom(...sampleNames), words, words, (sampleName, name, path) => {
      const xml = sample(sampleName);
      const [{ target } = { target: '' }] = describeDomain(xml).disks;
      const edited = editDomain(xml, { name, disks: new Map([[target, { kind: 'file', path, format: 'raw' }]]) });
      const described = describeDomain(edited);
      assert.equal(described.name, name);
      assert.deepEqual(described.disks[0]?.source, { kind: 'file', path });
      assert.equal(editDomain(edited, {}), edited);
    }),
    { numRuns: 200 },
  );
});
