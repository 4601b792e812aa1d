import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backupXml, checkpointXml, redefinedCheckpointXml } from './backup-xml.ts';
import { attribute, childrenOf, elementAt, parseRoot, textOf } from './domain-xml/document.ts';

test('full and incremental disks stand side by side, and paths hold what they like', () => {
  const root = parseRoot(
    backupXml({
      socketPath: "/run/a & b's",
      disks: [
        { name: 'vda', since: 'holdfast-<1>', scratchPath: '/scratch/"vda"' },
        { name: 'vdb', scratchPath: '/scratch/vdb' },
      ],
    }),
  );
  assert.equal(attribute(elementAt(root, 'server'), 'socket'), "/run/a & b's");
  const disks = childrenOf(elementAt(root, 'disks') ?? root, 'disk').map((disk) =>
    ['name', 'backupmode', 'incremental', 'exportbitmap', 'exportname'].map((key) => attribute(disk, key)),
  );
  assert.deepEqual(disks, [
    ['vda', 'incremental', 'holdfast-<1>', 'backup-vda', 'vda'],
    ['vdb', 'full', undefined, undefined, 'vdb'],
  ]);
  assert.equal(attribute(elementAt(root, 'disks', 'disk', 'scratch'), 'file'), '/scratch/"vda"');
});

test('a checkpoint names the disks that get a bitmap', () => {
  const root = parseRoot(checkpointXml({ name: 'a<b', disks: ['vda', 'vdc'] }));
  assert.equal(textOf(elementAt(root, 'name')), 'a<b');
  const disks = childrenOf(elementAt(root, 'disks') ?? root, 'disk');
  assert.deepEqual(
    disks.map((disk) => [attribute(disk, 'name'), attribute(disk, 'checkpoint')]),
    [
      ['vda', 'bitmap'],
      ['vdc', 'bitmap'],
    ],
  );
});

test('a checkpoint that is redefined names its bitmaps, its time in seconds, and the machine', () => {
  const root = parseRoot(
    redefinedCheckpointXml({
      name: 'one',
      disks: ['vda'],
      createdAtMs: 1_795_281_273_869,
      domainXml: '<domain type="kvm"><name>web</name></domain>',
    }),
  );
  assert.equal(textOf(elementAt(root, 'creationTime')), '1795281273');
  assert.equal(attribute(elementAt(root, 'disks', 'disk'), 'bitmap'), 'one');
  assert.equal(textOf(elementAt(root, 'domain', 'name')), 'web');
});
