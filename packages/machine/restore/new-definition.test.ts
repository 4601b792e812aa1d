import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@holdfast/base';
import { describeDomain } from '@holdfast/hypervisor/libvirt';
import type { GuestConfiguration } from '../guest-configuration.ts';
import { newDefinition } from './new-definition.ts';
import type { RestorePlan } from './restore-plan.ts';

const disk = (target: string, path: string) =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${path}'/><target dev='${target}' bus='virtio'/></disk>`;
const cdrom = (target: string, path: string) =>
  `<disk type='file' device='cdrom'><source file='${path}'/><target dev='${target}' bus='sata'/><readonly/></disk>`;
const card = (mac: string) =>
  `<interface type='network'><mac address='${mac}'/><source network='default'/></interface>`;

const xml = `<domain type='kvm'>
  <name>web</name>
  <uuid>7af0ba8b-19c0-4be7-a3e0-f7d7ffc527ee</uuid>
  <os><type>hvm</type><loader type='pflash'>/code.fd</loader><nvram>/nvram/web_VARS.fd</nvram></os>
  <devices>
    ${disk('vda', '/old/a.qcow2')}
    ${disk('vdb', '/old/b.qcow2')}
    ${cdrom('sda', '/iso/here.iso')}
    ${cdrom('sdb', '/iso/gone.iso')}
    ${card('52:54:00:AA:00:01')}
    ${card('52:54:00:aa:00:02')}
    <hostdev mode='subsystem' type='pci'/>
  </devices>
</domain>`;

const configuration: GuestConfiguration = {
  name: 'web',
  uuid: '7af0ba8b-19c0-4be7-a3e0-f7d7ffc527ee',
  domain_xml: xml,
  nvram: Buffer.from('variables'),
  tpm_state: null,
  disks: [],
};

const plan: RestorePlan = {
  kind: 'new',
  repository: '11111111-2222-4333-8444-555555555555',
  point: 'bkp_1',
  name: 'copy',
  uuid: '11111111-2222-4333-8444-666666666666',
  disks: [{ name: 'vda', format: 'raw', path: '/new/copy-vda.raw' }],
  nvram: '/var/lib/libvirt/qemu/nvram/copy_VARS.fd',
  tpm: null,
  replaced: [],
};

test('a machine of its own: nothing that the old one has alone stays, and what is missing is said', () => {
  const { xml: made, warnings } = newDefinition({
    configuration,
    plan,
    hasMedium: (path) => path === '/iso/here.iso',
    clock: systemClock,
  });
  const { name, uuid, nvramPath, disks, macs } = describeDomain(made);
  assert.deepEqual({ name, uuid, nvramPath }, { name: 'copy', uuid: plan.uuid, nvramPath: undefined });
  assert.deepEqual(
    disks.map(({ target, format, source }) => ({ target, format, source })),
    [
      { target: 'vda', format: 'raw', source: { kind: 'file', path: '/new/copy-vda.raw' } },
      { target: 'sda', format: undefined, source: { kind: 'file', path: '/iso/here.iso' } },
      { target: 'sdb', format: undefined, source: { kind: 'none' } },
    ],
  );
  assert.equal(new Set(macs).size, 2);
  for (const mac of macs) assert.match(mac, /^52:54:00:(?!aa:00:)/);
  assert.equal(warnings.length, 3);
  assert.match(warnings[0]!, /no disk vdb/);
  assert.match(warnings[1]!, /sdb .*gone\.iso/);
  assert.match(warnings[2]!, /1 devices? of its host/);
});
