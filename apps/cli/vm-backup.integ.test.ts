/** `holdfast vm backup` on a libvirt of its own with a real machine that writes all the time. */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type LibvirtHost, readJournals, startLibvirtHost } from '@holdfast/testing/guests';
import { holdfast, runHoldfast } from './testing/run-holdfast.ts';

let host: LibvirtHost;
let storage: readonly string[];
let environment: Readonly<Record<string, string>>;

before(async () => {
  host = await startLibvirtHost();
  storage = ['--storage', `file://${host.directory}/repository`];
  environment = { HOLDFAST_STATE_DIRECTORY: join(host.directory, 'state') };
  await holdfast(['repo', 'init', ...storage]);
});

after(async () => {
  await host[Symbol.asyncDispose]();
});

test('two points of a running machine: an increment, restored disk by disk, with every record of its journals', async () => {
  const guest = await host.makeGuest({ name: 'web', disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  await guest.start();
  const backup = ['vm', 'backup', 'web', '--connect', host.uri, ...storage];
  const first = await holdfast(backup, environment);
  assert.deepEqual([first['kind'], first['resource']], ['full', 'instances/web']);
  const people = await runHoldfast(
    [...backup, '--consistency', 'require', '--label', 'before the update'],
    environment,
  );
  assert.equal(people.code, 0, people.stderr);
  assert.match(people.stdout, /^File systems were quiet, frozen for \d+ ms\nvda: /);
  assert.match(people.stdout, /Restore point bkp_\w+ of instances\/web \(incremental, number 2 of its series\)\n$/);
  const restored = join(host.directory, 'restored');
  await mkdir(restored);
  const files = ['vda', 'vdb'].map((disk) => join(restored, disk));
  const { points } = await holdfast(['points', ...storage, '--resource', 'instances/web']);
  const [, latest] = points as readonly { readonly point: string; readonly label: string }[];
  assert.equal(latest?.label, 'before the update');
  for (const file of files) {
    const disk = file.slice(restored.length + 1);
    await holdfast(['restore', ...storage, latest?.point ?? '', '--disk', disk, '--to', file]);
  }
  const [vda, vdb] = await readJournals(files);
  for (const report of [vda, vdb]) assert.deepEqual([report?.bad, report?.gaps, report?.first], [0, 0, 1]);
  assert.ok(vda && vdb && [vda.last, vda.last - 1].includes(vdb.last));
});

test('what cannot be is said with its code', async () => {
  const code = async (...words: readonly string[]) => {
    const run = await runHoldfast(['vm', 'backup', ...words, ...storage, '--json'], environment);
    return [run.code, run.objects.at(-1)?.['code']];
  };
  const here = ['--connect', host.uri];
  assert.deepEqual(await code('nobody', ...here), [1, 'vm_not_found']);
  assert.deepEqual(await code('web', ...here, '--disks', 'vda,vdq'), [1, 'vm_disk_not_found']);
  assert.deepEqual(await code('web', '--connect', 'qemu+ssh://root@elsewhere/system'), [1, 'libvirt_remote']);
  assert.deepEqual(await code('web', ...here, '--hook-timeout', 'soon'), [2, 'usage']);
  assert.deepEqual(await code('web', ...here, '--resource', 'web'), [2, 'resource_invalid']);
  assert.deepEqual(await code('web', ...here, '--scratch', '/proc/scratch'), [1, 'scratch_unusable']);
  assert.deepEqual(await code('web', ...here, '--scratch', '/no/such/directory'), [1, 'scratch_unusable']);
  const long = join(host.directory, 'a-directory-whose-name-is-far-too-long-for-the-path-of-a-socket'.repeat(2));
  assert.deepEqual(await code('web', ...here, '--scratch', long), [1, 'scratch_unusable']);
  await host.makeGuest({ name: 'my web', writer: 'off' });
  assert.deepEqual(await code('my web', ...here), [2, 'resource_invalid']);
});
