/** `holdfast vm backup` on a libvirt of its own with a real machine that writes all the time. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { holdfast, runHoldfast } from './testing/run-holdfast.ts';
import { makeRepository, provePoint, startVmBed } from './testing/vm-fixture.ts';

const bed = await startVmBed();
const { host, connect, environment } = bed;
const storage = await makeRepository(bed);

test('two points of a running machine: an increment, restored disk by disk, with every record of its journals', async () => {
  const guest = await host.makeGuest({ name: 'web', disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  await guest.start();
  const backup = ['vm', 'backup', 'web', ...connect, ...storage];
  const first = await holdfast(backup, environment);
  assert.deepEqual([first['kind'], first['resource']], ['full', 'instances/web']);
  const people = await runHoldfast(
    [...backup, '--consistency', 'require', '--label', 'before the update'],
    environment,
  );
  assert.equal(people.code, 0, people.stderr);
  assert.match(people.stdout, /^File systems were quiet, frozen for \d+ ms\nvda: /);
  assert.match(people.stdout, /Restore point bkp_\w+ of instances\/web \(incremental, number 2 of its series\)\n$/);
  const { points } = await holdfast(['points', ...storage, '--resource', 'instances/web']);
  const [, latest] = points as readonly { readonly point: string; readonly label: string }[];
  assert.equal(latest?.label, 'before the update');
  await provePoint(bed, { storage, point: latest?.point ?? '', disks: ['vda', 'vdb'] });
});

test('what cannot be is said with its code', async () => {
  const code = async (...words: readonly string[]) => {
    const run = await runHoldfast(['vm', 'backup', ...words, ...storage, '--json'], environment);
    return [run.code, run.objects.at(-1)?.['code']];
  };
  assert.deepEqual(await code('nobody', ...connect), [1, 'vm_not_found']);
  assert.deepEqual(await code('web', ...connect, '--disks', 'vda,vdq'), [1, 'vm_disk_not_found']);
  assert.deepEqual(await code('web', '--connect', 'qemu+ssh://root@elsewhere/system'), [1, 'libvirt_remote']);
  assert.deepEqual(await code('web', ...connect, '--hook-timeout', 'soon'), [2, 'usage']);
  assert.deepEqual(await code('web', ...connect, '--resource', 'web'), [2, 'resource_invalid']);
  assert.deepEqual(await code('web', ...connect, '--scratch', '/proc/scratch'), [1, 'scratch_unusable']);
  assert.deepEqual(await code('web', ...connect, '--scratch', '/no/such/directory'), [1, 'scratch_unusable']);
  const long = join(host.directory, 'a-directory-whose-name-is-far-too-long-for-the-path-of-a-socket'.repeat(2));
  assert.deepEqual(await code('web', ...connect, '--scratch', long), [1, 'scratch_unusable']);
  await host.makeGuest({ name: 'my web', writer: 'off' });
  assert.deepEqual(await code('my web', ...connect), [2, 'resource_invalid']);
});
