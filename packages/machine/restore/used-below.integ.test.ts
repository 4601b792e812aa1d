import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { describeDomain } from '@holdfast/hypervisor/libvirt';
import { temporaryDirectory } from '@holdfast/testing';
import { useOf } from './restore-in-place.ts';
import type { RestorePlan } from './restore-plan.ts';

test('a disk that a restore has made is in use as well when the machine writes to an overlay on it', async () => {
  await using directory = await temporaryDirectory();
  const [fresh, overlay] = [join(directory.path, 'fresh.qcow2'), join(directory.path, 'overlay.qcow2')];
  const create = ['create', '-q', '-f', 'qcow2'];
  await promisify(execFile)('qemu-img', [...create, fresh, '64M']);
  await promisify(execFile)('qemu-img', [...create, '-b', fresh, '-F', 'qcow2', overlay]);
  const plan: RestorePlan = {
    kind: 'in_place',
    repository: null,
    point: 'bkp_1',
    name: 'web',
    uuid: null,
    disks: [{ name: 'vda', format: 'qcow2', path: fresh }],
    nvram: null,
    tpm: null,
    replaced: [],
  };
  const machineOn = (path: string) =>
    describeDomain(
      `<domain><name>web</name><devices><disk type='file' device='disk'><driver type='qcow2'/><source file='${path}'/><target dev='vda'/></disk></devices></domain>`,
    );
  assert.equal(await useOf(machineOn(overlay), plan), 'some');
  assert.equal(await useOf(machineOn(join(directory.path, 'other.qcow2')), plan), 'none');
});
