/** `holdfast vm backup` is killed with -9, wherever it is: the guest goes on, and the next command puts everything in order. */
import assert from 'node:assert/strict';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Libvirt } from '@holdfast/hypervisor/libvirt';
import { type LibvirtHost, readJournals, startLibvirtHost } from '@holdfast/testing/guests';
import { holdfast, runHoldfast, startHoldfast } from './testing/run-holdfast.ts';

let host: LibvirtHost;
let backup: readonly string[];
let storage: readonly string[];
let environment: Readonly<Record<string, string>>;

before(async () => {
  host = await startLibvirtHost();
  storage = ['--storage', `file://${host.directory}/repository`];
  environment = { HOLDFAST_STATE_DIRECTORY: join(host.directory, 'state') };
  backup = ['vm', 'backup', 'web', '--connect', host.uri, ...storage];
  await holdfast(['repo', 'init', ...storage]);
  const guest = await host.makeGuest({ name: 'web', disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  await guest.start();
  await holdfast(backup, environment);
});

after(async () => {
  await host[Symbol.asyncDispose]();
});

test('killed while it reads: the job goes on until the next command, of whatever kind, ends it', async () => {
  const domain = await new Libvirt({ uri: host.uri }).domain('web');
  // Everything is new there, and takes its time at this rate.
  const elsewhere = ['--storage', `file://${host.directory}/elsewhere`];
  await holdfast(['repo', 'init', ...elsewhere]);
  const slow = ['vm', 'backup', 'web', '--connect', host.uri, ...elsewhere, '--limit-rate', '50K'];
  const started = startHoldfast(slow, environment);
  while ((await domain.backupSocket()) === undefined) await sleep(20);
  await sleep(300);
  const busy = await runHoldfast([...backup, '--json'], environment);
  assert.deepEqual([busy.code, busy.objects.at(-1)?.['code']], [1, 'resource_busy']);
  started.child.kill('SIGKILL');
  await started.ended;
  assert.equal(await domain.agent.freezeState(), 'thawed');
  assert.notEqual(await domain.backupSocket(), undefined);
  const list = await runHoldfast(['vm', 'list', '--connect', host.uri], environment);
  assert.match(list.stderr, /A backup of web that nobody reads any more was ended/);
  assert.equal(await domain.backupSocket(), undefined);
  assert.deepEqual(await readdir(join(host.directory, 'state/scratch')), []);
  await assertNextPointIsWhole();
});

test('killed at any moment around the freeze: the guest thaws by itself or by the next command', async () => {
  const domain = await new Libvirt({ uri: host.uri }).domain('web');
  for (let round = 0; round < 8; round += 1) {
    const started = startHoldfast([...backup, '--limit-rate', '100K'], environment);
    // From when it notes that the guest may freeze, in steps of 40 ms.
    const record = join(host.directory, 'state/machines', `${domain.uuid}.json`);
    while (started.child.exitCode === null && !(await exists(record))) await sleep(2);
    await sleep(round * 40);
    started.child.kill('SIGKILL');
    await started.ended;
    await holdfast(['vm', 'list', '--connect', host.uri], environment);
    assert.equal(await domain.agent.freezeState(), 'thawed', `round ${round}`);
    assert.equal(await domain.backupSocket(), undefined);
  }
  await assertNextPointIsWhole();
});

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function assertNextPointIsWhole(): Promise<void> {
  const { point, disks } = await holdfast(backup, environment);
  const restored = join(host.directory, `restored-${String(point)}`);
  await mkdir(restored);
  const files: string[] = [];
  for (const { name } of disks as readonly { readonly name: string }[]) {
    files.push(join(restored, name));
    await holdfast(['restore', ...storage, String(point), '--disk', name, '--to', join(restored, name)]);
  }
  const [vda, vdb] = await readJournals(files);
  for (const report of [vda, vdb]) assert.deepEqual([report?.bad, report?.gaps, report?.first], [0, 0, 1]);
  assert.ok(vda && vdb && [vda.last, vda.last - 1].includes(vdb.last));
  // One for each repository at most: here, and where the killed backup went.
  assert.ok((await host.virsh('checkpoint-list', 'web', '--name')).trim().split(/\s+/).length <= 2);
}
