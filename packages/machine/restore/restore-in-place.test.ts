import assert from 'node:assert/strict';
import { rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@holdfast/base';
import { describeDomain } from '@holdfast/hypervisor/libvirt';
import { temporaryDirectory } from '@holdfast/testing';
import { swapped, useOf } from './restore-in-place.ts';
import type { RestorePlan } from './restore-plan.ts';

const definition = `<domain type='qemu'><name>web</name><uuid>7af0ba8b-19c0-4be7-a3e0-f7d7ffc527ee</uuid>
  <memory unit='KiB'>65536</memory><os><type arch='x86_64'>hvm</type></os><devices>${['vda', 'vdb']
    .map(
      (name) =>
        `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/old/${name}'/><target dev='${name}' bus='virtio'/></disk>`,
    )
    .join('')}</devices></domain>`;

test('an earlier restore counts as done while its disks are as they were put there, and only then', async () => {
  await using made = await temporaryDirectory();
  const disks = ['vda', 'vdb'].map((name) => ({ name, format: 'qcow2' as const, path: join(made.path, name) }));
  const plan: RestorePlan = {
    kind: 'in_place',
    repository: null,
    point: 'bkp_1',
    name: 'web',
    uuid: '7af0ba8b-19c0-4be7-a3e0-f7d7ffc527ee',
    disks,
    nvram: null,
    tpm: null,
    replaced: [],
  };
  for (const { path } of disks) await writeFile(path, 'restored');
  const clock = { ...systemClock, nowMs: () => Date.now() + 1000 };
  const use = async (xml: string) => await useOf(describeDomain(xml), plan);
  const whole = swapped(definition, plan, clock);
  assert.equal(await use(definition), 'none');
  assert.equal(await use(whole), 'all');
  assert.equal(await use(whole.replace(disks[1]!.path, '/elsewhere')), 'some', 'somebody has taken one away');
  await utimes(disks[1]!.path, new Date(), new Date(Date.now() + 5000));
  assert.equal(await use(whole), 'some', 'the machine ran and has written');
  await rm(disks[1]!.path);
  assert.equal(await use(whole), 'some', 'a disk was removed');
});
