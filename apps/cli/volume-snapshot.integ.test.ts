/** `holdfast volume snapshot`, through the real command. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { temporaryDirectory } from '@holdfast/testing';
import { holdfast, runHoldfast } from './testing/run-holdfast.ts';
import { runTool } from './testing/test-disks.ts';

test('an image is snapshotted, listed, cloned, reverted', async () => {
  await using directory = await temporaryDirectory();
  const [image, clone] = [join(directory.path, 'a.qcow2'), join(directory.path, 'clone.qcow2')];
  await runTool('qemu-img', 'create', '-q', '-f', 'qcow2', image, '64M');
  await runTool('qemu-io', '-f', 'qcow2', '-c', 'write -P 1 0 4M', image);
  const { snapshot } = await holdfast(['volume', 'snapshot', 'create', image, 'before upgrade']);
  assert.equal((snapshot as { name: string }).name, 'before upgrade');
  await runTool('qemu-io', '-f', 'qcow2', '-c', 'write -P 2 0 1M', image);
  await runTool('qemu-img', 'bitmap', '--add', image, 'b');

  const { snapshots } = await holdfast(['volume', 'snapshot', 'list', image]);
  const [listed] = snapshots as readonly Readonly<Record<string, unknown>>[];
  assert.deepEqual([listed?.['id'], listed?.['diverged_bytes'], listed?.['size_bytes']], ['1', MiB, 64 * MiB]);
  const shown = await runHoldfast(['volume', 'snapshot', 'list', image]);
  assert.match(shown.stdout, /ID +TAKEN +SIZE +KEEPS +NAME\n +1 .* 64\.00 MiB +1\.00 MiB +before upgrade\n$/);

  await holdfast(['volume', 'snapshot', 'clone', image, 'before upgrade', '--to', clone]);
  await runTool('qemu-io', '-f', 'qcow2', '-c', 'read -P 1 0 4M', clone);
  const reverted = await runHoldfast(['volume', 'snapshot', 'revert', image, '1']);
  assert.match(reverted.stderr, /1 dirty bitmap had to be removed/);
  assert.match(reverted.stdout, /in the snapshot before-revert-\d{8}T[\d.]+Z\.\n$/);
  await runTool('qemu-img', 'compare', '-q', image, clone);
  await holdfast(['volume', 'snapshot', 'delete', image, 'before upgrade']);
  const refused = await runHoldfast(['volume', 'snapshot', 'delete', image, 'before upgrade']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /code: snapshot_not_found/);
});
