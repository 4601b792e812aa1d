import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { parseConnectionUri } from './connection-uri.ts';

test('a libvirt of this host is told from a remote one', () => {
  for (const text of [
    'qemu:///system',
    'qemu:///session',
    'qemu+unix:///system',
    'qemu:///system?socket=/run/libvirt/libvirt-sock',
  ]) {
    assert.deepEqual(parseConnectionUri(text), { text, isLocal: true });
  }
  for (const text of [
    'qemu+ssh://root@kvm2/system',
    'qemu+ssh://kvm2:2222/system?keyfile=/root/key',
    'qemu+tcp://10.77.1.2/system',
    'qemu+tls://[fd00::2]/system',
    'qemu://kvm2/system',
  ]) {
    assert.deepEqual(parseConnectionUri(text), { text, isLocal: false });
  }
});

test('what is no address of QEMU under libvirt is refused', () => {
  for (const text of [
    '',
    'qemu',
    'qemu:/system',
    '/var/run/libvirt/libvirt-sock',
    'xen:///system',
    'lxc:///',
    'test:///default',
    'qemu:///',
    'qemu:///nonsense',
    'qemu+ssh:///system',
    'qemu+tcp:///system',
    'qemu+ssh://root:secret@kvm2/system',
    'https://kvm2/system',
  ]) {
    assert.throws(
      () => parseConnectionUri(text),
      (error) => hasCode(error, 'usage'),
      text,
    );
  }
});
