import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KiB } from '@holdfast/base';
import { qemuIo, run, scratchDirectory } from '../testing/scratch-directory.ts';
import { measureHidden } from './hidden-bytes.ts';

const cluster = 64 * KiB;

test('what both images hold is hidden: written, zeroed or discarded above; not what only one of them holds', async () => {
  await using scratch = await scratchDirectory();
  const [path, above] = [scratch.path('below.qcow2'), scratch.path('above.qcow2')];
  run('qemu-img', 'create', '-q', '-f', 'qcow2', path, '4G');
  // The second place is under an L2 table of its own; so is the third, which the upper image has none for.
  qemuIo('qcow2', path, 'write 0 512k', 'write 1G 128k', 'write 2G 128k');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', path, '-F', 'qcow2', above);
  assert.deepEqual(await measureHidden({ path, above }), { kind: 'known', divergedBytes: 0, tableBytes: 0 });
  qemuIo(
    'qcow2',
    above,
    'write 64k 64k',
    'write -z 128k 64k',
    'discard 256k 64k',
    'write 3M 64k',
    'write 1G 64k',
    'write 3G 64k',
  );
  assert.deepEqual(await measureHidden({ path, above }), {
    kind: 'known',
    divergedBytes: 4 * cluster,
    tableBytes: 3 * cluster,
  });
});

test('a cluster that an internal snapshot below keeps as well is not counted; with clusters of two sizes nothing is known', async () => {
  await using scratch = await scratchDirectory();
  const [path, above, other] = [scratch.path('below.qcow2'), scratch.path('above.qcow2'), scratch.path('other.qcow2')];
  run('qemu-img', 'create', '-q', '-f', 'qcow2', path, '64M');
  qemuIo('qcow2', path, 'write 0 256k');
  run('qemu-img', 'snapshot', '-c', 's', path);
  qemuIo('qcow2', path, 'write 0 64k');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', path, '-F', 'qcow2', above);
  qemuIo('qcow2', above, 'write 0 256k');
  const usage = await measureHidden({ path, above });
  assert.equal(usage.kind === 'known' && usage.divergedBytes, cluster);
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=128k', '-b', path, '-F', 'qcow2', other);
  assert.deepEqual(await measureHidden({ path, above: other }), { kind: 'unknown' });
});
