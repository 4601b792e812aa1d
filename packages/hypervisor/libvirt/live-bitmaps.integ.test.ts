import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { libvirtHostForTests } from '@holdfast/testing/guests';
import { describeDomain } from './domain-xml/domain-description.ts';
import { Libvirt } from './libvirt.ts';
import { liveBitmaps, removeLiveBitmap } from './live-bitmaps.ts';

const host = await libvirtHostForTests();

/** By target; each of another size, so that they are told apart. */
const buses = { vdb: 'virtio', sda: 'sata', sdb: 'scsi', sdc: 'usb', hda: 'ide' } as const;

const places = ["<controller type='scsi' model='virtio-scsi'/>", "<controller type='usb' model='qemu-xhci'/>"];
for (const [index, [target, bus]] of Object.entries(buses).entries()) {
  const image = `${host.directory}/${target}`;
  await host.run('qemu-img', 'create', '-q', '-f', 'qcow2', image, `${index + 1}M`);
  places.push(`<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${image}'/>
    <target dev='${target}' bus='${bus}'/></disk>`);
}
places.push("<disk type='file' device='cdrom'><target dev='sdd' bus='sata'/></disk>");
await host.makeGuest({ name: 'web', writer: 'off', disks: [], devices: places.join('') });
await host.virsh('start', '--paused', 'web');
const domain = await new Libvirt({ uri: host.uri }).domain('web');

test('the image of each disk is found, on whatever bus, and an empty drive has none', async () => {
  const { disks } = describeDomain(await domain.xml({ which: 'live' }));
  const images = await liveBitmaps(domain);
  const sizes = new Map(disks.map(({ target, alias = '' }) => [target, images.get(alias)?.sizeBytes]));
  const expected = Object.keys(buses).map((target, index) => [target, (index + 1) * MiB] as const);
  assert.deepEqual(sizes, new Map([...expected, ['sdd', undefined]]));
  assert.equal(images.size, expected.length);
});

test('bitmaps are seen, and removed from one image alone', async () => {
  const images = [...(await liveBitmaps(domain)).values()];
  for (const { node } of images) {
    await domain.monitor({ command: 'block-dirty-bitmap-add', args: { node, name: 'theirs' } });
  }
  const [first, ...others] = (await liveBitmaps(domain)).values();
  assert.deepEqual(first?.bitmaps, [{ name: 'theirs', isInconsistent: false }]);
  await removeLiveBitmap(domain, { node: first?.node ?? '', bitmap: 'theirs' });
  const left = [...(await liveBitmaps(domain)).values()].map(({ bitmaps }) => bitmaps.length);
  assert.deepEqual(left, [0, ...others.map(() => 1)]);
});
