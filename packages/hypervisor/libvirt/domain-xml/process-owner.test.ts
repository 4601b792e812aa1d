import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processOwner } from './process-owner.ts';

const domain = (labels: string): string => `<domain><name>a</name>${labels}</domain>`;

test('the label of the file permissions names user and group', () => {
  const labels =
    "<seclabel type='dynamic' model='apparmor'><label>libvirt-1</label></seclabel>" +
    "<seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+108</label><imagelabel>+1:+2</imagelabel></seclabel>";
  assert.deepEqual(processOwner(domain(labels)), { uid: 64055, gid: 108 });
});

test('without such a label, or with names in it, nobody is named', () => {
  for (const labels of ['', "<seclabel model='dac'><label>qemu:qemu</label></seclabel>", "<seclabel model='dac'/>"]) {
    assert.equal(processOwner(domain(labels)), undefined);
  }
});
