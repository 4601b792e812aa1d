/** `holdfast vm backup` is killed with -9, wherever it is: the guest goes on, and the next command puts everything in order. */
import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Libvirt } from '@holdfast/hypervisor/libvirt';
import { holdfast, runHoldfast, startHoldfast } from './testing/run-holdfast.ts';
import { makeRepository, provePoint, startVmBed } from './testing/vm-fixture.ts';

const bed = await startVmBed();
const { host, connect, environment } = bed;
const storage = await makeRepository(bed);
const backup = ['vm', 'backup', 'web', ...connect, ...storage];
const guest = await host.makeGuest({ name: 'web', disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
await guest.start();
await holdfast(backup, environment);

test('killed while it reads: the job goes on until the next command, of whatever kind, ends it', async () => {
  const domain = await new Libvirt({ uri: host.uri }).domain('web');
  // Everything is new there, and takes its time at this rate.
  const elsewhere = await makeRepository(bed, { name: 'elsewhere' });
  const slow = ['vm', 'backup', 'web', ...connect, ...elsewhere, '--limit-rate', '50K'];
  const started = startHoldfast(slow, environment);
  while ((await domain.backupSocket()) === undefined) await sleep(20);
  await sleep(300);
  const busy = await runHoldfast([...backup, '--json'], environment);
  assert.deepEqual([busy.code, busy.objects.at(-1)?.['code']], [1, 'resource_busy']);
  started.child.kill('SIGKILL');
  await started.ended;
  assert.equal(await domain.agent.freezeState(), 'thawed');
  assert.notEqual(await domain.backupSocket(), undefined);
  const list = await runHoldfast(['vm', 'list', ...connect], environment);
  assert.match(list.stderr, /A backup of web that nobody reads any more was ended/);
  assert.equal(await domain.backupSocket(), undefined);
  assert.deepEqual(await readdir(join(host.directory, 'state/scratch')), []);
  await assertNextPointIsWhole();
});

test('killed at any moment around the freeze: the guest thaws, and its hook is told, by itself or by the next command', async () => {
  const domain = await new Libvirt({ uri: host.uri }).domain('web');
  const inGuest = async (script: string, input = ''): Promise<string> => {
    const run = { program: '/bin/sh', args: ['-c', script], input, timeoutMs: 10_000 };
    return (await domain.agent.run(run)).output.trim();
  };
  const hook = '#!/bin/sh\necho "$1" >> /tmp/calls\n';
  await inGuest('mkdir -p /etc/holdfast; cat > /etc/holdfast/quiesce; chmod 755 /etc/holdfast/quiesce', hook);
  const leftOpen: number[] = [];
  for (let round = 0; round < 14; round += 1) {
    await inGuest('rm -f /tmp/calls');
    const started = startHoldfast([...backup, '--limit-rate', '100K'], environment);
    // From when it notes that the hook may be called, in steps of 40 ms.
    const record = join(host.directory, 'state/machines', `${domain.uuid}.json`);
    while (started.child.exitCode === null && !(await exists(record))) await sleep(2);
    await sleep(round * 40);
    started.child.kill('SIGKILL');
    await started.ended;
    const isOpen = (await readFile(record, 'utf8')).includes('/etc/holdfast/quiesce');
    if (isOpen) leftOpen.push(round);
    await holdfast(['vm', 'list', ...connect], environment);
    assert.equal(await domain.agent.freezeState(), 'thawed', `round ${round}`);
    assert.equal(await domain.backupSocket(), undefined);
    const calls = (await inGuest('cat /tmp/calls')).split('\n');
    assert.equal(calls.at(-1), 'thaw', `round ${round}: ${calls.join()}`);
  }
  assert.ok(leftOpen.length > 0, 'the moments were the wrong ones: no hook was left waiting');
  await inGuest('rm /etc/holdfast/quiesce');
  await assertNextPointIsWhole();
});

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function assertNextPointIsWhole(): Promise<void> {
  const { point, disks } = await holdfast(backup, environment);
  const names = (disks as readonly { readonly name: string }[]).map(({ name }) => name);
  assert.deepEqual(names, ['vda', 'vdb']);
  await provePoint(bed, { storage, point: String(point), disks: names });
  // One for each repository at most: here, and where the killed backup went.
  assert.ok((await host.virsh('checkpoint-list', 'web', '--name')).trim().split(/\s+/).length <= 2);
}
