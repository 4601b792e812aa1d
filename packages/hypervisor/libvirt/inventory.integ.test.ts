import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasCode, MiB } from '@holdfast/base';
import { libvirtHostForTests } from '@holdfast/testing/guests';
import { run } from '../testing/scratch-directory.ts';
import { describeDomain } from './domain-xml/domain-description.ts';
import { editDomain } from './domain-xml/edit-domain.ts';
import { sample } from './domain-xml/sample-fixture.ts';
import { Libvirt } from './libvirt.ts';

const host = await libvirtHostForTests({ remote: true });
const libvirt = new Libvirt({ uri: host.uri });
const cdrom = "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>";
const card = "<controller type='sata'/><interface type='user'><mac address='52:54:00:0a:0b:0c'/></interface>";
const disks = [{ format: 'qcow2' }, { format: 'raw' }] as const;
const guest = await host.makeGuest({ name: 'db', disks, devices: cdrom + card });

async function entryOf(name: string, from = libvirt) {
  const found = (await from.inventory()).find((entry) => entry.name === name);
  assert.ok(found, name);
  return found;
}

test('machines, their disks with size, format and chain, running or not, here or remote', async () => {
  const overlay = join(host.directory, 'overlay.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', guest.images[0] ?? '', '-F', 'qcow2', overlay, '80M');
  const place = { kind: 'file', path: overlay, format: 'qcow2' } as const;
  await libvirt.define({
    xml: editDomain(await host.virsh('dumpxml', 'db'), { disks: new Map([['vda', place]]) }),
  });

  const off = await entryOf('db');
  assert.deepEqual([off.state, off.persistent, off.agent, off.hostDevices], ['shut_off', true, 'unknown', 0]);
  assert.deepEqual(
    off.disks.map(({ target, device, format, sizeBytes }) => ({ target, device, format, sizeBytes })),
    [
      { target: 'vda', device: 'disk', format: 'qcow2', sizeBytes: 80 * MiB },
      { target: 'vdb', device: 'disk', format: 'raw', sizeBytes: 64 * MiB },
      { target: 'sda', device: 'cdrom', format: 'raw', sizeBytes: undefined },
    ],
  );
  const chain = [{ source: { kind: 'file', path: guest.images[0] }, format: 'qcow2' }];
  assert.deepEqual(
    off.disks.map(({ backing }) => backing),
    [chain, [], undefined],
  );
  assert.ok((off.disks[1]?.allocatedBytes ?? 0) > MiB);

  await guest.start();
  const remote = new Libvirt({ uri: host.remoteUri ?? '' });
  assert.equal(remote.uri.isLocal, false);
  for (const from of [libvirt, remote]) {
    const running = await entryOf('db', from);
    assert.deepEqual([running.state, running.agent], ['running', 'connected']);
    assert.deepEqual(running.disks[0]?.backing, chain);
    assert.equal(running.disks[0]?.sizeBytes, 80 * MiB);
  }
  await assert.rejects(remote.domain('db'), (error) => hasCode(error, 'libvirt_remote'));
  await assert.rejects(remote.define({ xml: '<domain/>' }), (error) => hasCode(error, 'libvirt_remote'));
  await guest.destroy();
});

test('a machine with a disk that is gone is listed with the reason, and its other disks with their size', async () => {
  const lame = await host.makeGuest({ name: 'lame', disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  await rm(lame.images[0] ?? '');
  const { disks } = await entryOf('lame');
  assert.match(disks[0]?.problem ?? '', /No such file/);
  assert.deepEqual([disks[0]?.sizeBytes, disks[1]?.sizeBytes, disks[1]?.problem], [undefined, 64 * MiB, undefined]);
  await lame.undefine();
});

test('storage pools, active or not', async () => {
  const path = join(host.directory, 'pool');
  await mkdir(path);
  await host.virsh('pool-define-as', 'images', 'dir', '--target', path);
  const [off, ...none] = await libvirt.storagePools();
  assert.deepEqual([off?.name, off?.type, off?.active, off?.path, none], ['images', 'dir', false, path, []]);
  await host.virsh('pool-start', 'images');
  const [on] = await libvirt.storagePools();
  assert.ok(on?.active && on.sizeBytes > on.availableBytes && on.availableBytes > 0);
});

test('a machine is defined again as another one, which boots; names and UUIDs that are taken are refused', async () => {
  const original = await (await libvirt.domain('db')).xml({ which: 'stored' });
  const uuid = '11111111-2222-4333-8444-555555555555';
  const copy = editDomain(original, {
    name: 'db copy',
    uuid,
    macs: new Map([['52:54:00:0a:0b:0c', '52:54:00:0a:0b:0d']]),
    disks: new Map([['vdb', { kind: 'remove' }]]),
  });
  const domain = await libvirt.define({ xml: copy });
  assert.deepEqual([domain.name, domain.uuid], ['db copy', uuid]);
  const described = describeDomain(await domain.xml({ which: 'stored' }));
  assert.deepEqual([described.macs, described.disks.length], [['52:54:00:0a:0b:0d'], 2]);
  await domain.start();
  assert.equal((await domain.status()).state, 'running');
  await domain.destroy();
  await domain.undefine();

  for (const changes of [{ name: 'other' }, { uuid }]) {
    await assert.rejects(libvirt.define({ xml: editDomain(original, changes) }), (error) =>
      hasCode(error, 'vm_exists'),
    );
  }
  await assert.rejects(libvirt.define({ xml: '<domain type="qemu"><name>x</name></domain>' }), (error) =>
    hasCode(error, 'vm_definition_invalid'),
  );
});

test('definitions from the field are valid for libvirt after editing as before', async () => {
  for (const name of ['windows-vtpm', 'ceph', 'passthrough'] as const) {
    const file = join(host.directory, 'sample.xml');
    const place = { kind: 'file', path: '/restored.raw', format: 'raw' } as const;
    const { disks } = describeDomain(sample(name));
    const changes = {
      name: `new ${name}`,
      uuid: '22222222-2222-4333-8444-555555555555',
      disks: new Map([[disks[0]?.target ?? '', place]]),
    };
    for (const xml of [sample(name), editDomain(sample(name), changes)]) {
      await writeFile(file, xml.replace(/(?<=<domain[^>]* type=)(['"])kvm\1/, '$1qemu$1').replace(/<cpu [^>]*>/, ''));
      await host.virsh('define', '--validate', file);
      await host.virsh('undefine', describeDomain(xml).name, '--nvram', '--keep-tpm');
    }
  }
});
