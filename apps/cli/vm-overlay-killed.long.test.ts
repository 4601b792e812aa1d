/** `holdfast vm snapshot` with overlays, killed at any moment, and on a full file system: nothing is lost, and the same command goes on. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { MiB } from '@holdfast/base';
import { Libvirt } from '@holdfast/hypervisor/libvirt';
import { proveJournals } from '@holdfast/testing/guests';
import { holdfast, runHoldfast, startHoldfast } from './testing/run-holdfast.ts';
import { startVmBed } from './testing/vm-fixture.ts';

const run = promisify(execFile);

/** A small file system, which only hosts see that are started after it is mounted. */
const small = await mkdtemp(join(tmpdir(), 'holdfast-small-'));
await run('mount', ['-t', 'tmpfs', '-o', 'size=128m,mode=0755', 'holdfast-test', small]);
const { host, connect, environment } = await startVmBed();
const large = join(small, 'large.qcow2');
await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', large, '80G']);
await chmod(large, 0o666);
const devices = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${large}'/><target dev='vdz' bus='virtio'/></disk>`;
const disks = [{ format: 'qcow2' }, { format: 'qcow2' }] as const;
const guest = await host.makeGuest({ name: 'web', disks, writer: 5, devices });
const domain = await new Libvirt({ uri: host.uri }).domain('web');
await guest.start();

// After the host, which has images in it.
after(async () => {
  await run('umount', [small]);
  await rm(small, { recursive: true });
});

function words(verb: string, ...more: readonly string[]): readonly string[] {
  return ['vm', 'snapshot', verb, 'web', ...more, ...connect];
}

async function snapshots(): Promise<readonly Readonly<Record<string, unknown>>[]> {
  return (await holdfast(words('list'), environment))['snapshots'] as readonly Readonly<Record<string, unknown>>[];
}

async function overlays(): Promise<readonly string[]> {
  const names = [...(await readdir(host.directory)), ...(await readdir(small))];
  return names.filter((name) => /^web-vd.-\d{8}T/.test(name));
}

async function fillLarge(mebibytes: number): Promise<void> {
  const args = ['if=/dev/urandom', 'of=/dev/vdc', 'bs=1M', `count=${mebibytes}`, 'conv=fsync'];
  const { exitCode, errors } = await domain.agent.run({ program: 'dd', args, timeoutMs: 120_000 });
  assert.equal(exitCode, 0, errors);
}

async function assertWhole(): Promise<void> {
  await guest.destroy();
  await proveJournals(guest.images);
  for (const image of [...guest.images, large]) await run('qemu-img', ['check', '-q', image]);
  await guest.start();
}

test('create and delete are killed again and again: there is no snapshot or a whole one, and in the end none', async () => {
  for (let delayMs = 200; delayMs <= 1400; delayMs += 200) {
    const creating = startHoldfast(words('create', 's'), environment);
    await sleep(delayMs);
    creating.child.kill('SIGKILL');
    await creating.ended;
    await sleep(1500); // of virsh, which goes on and thaws
    assert.equal(await domain.agent.freezeState(), 'thawed');
    const [made] = await snapshots();
    if (made) assert.deepEqual(made['missing_disks'], []);
    else await holdfast(words('create', 's'), environment);
    await fillLarge(24);
    const deleting = startHoldfast(words('delete', 's'), environment);
    await sleep(delayMs);
    deleting.child.kill('SIGKILL');
    await deleting.ended;
    const rest = await runHoldfast(words('delete', 's'), environment);
    assert.ok(rest.code === 0 || rest.stderr.includes('snapshot_not_found'), rest.stderr);
    assert.deepEqual(await snapshots(), []);
    assert.deepEqual(await overlays(), []);
  }
  await assertWhole();
});

test('the file system is full while an overlay is written back: the snapshot is half deleted, and with room it goes on', async () => {
  await holdfast(words('create', 's'), environment);
  await fillLarge(40);
  const filler = join(small, 'filler');
  const { stdout } = await run('df', ['--output=avail', '-B1', small]);
  await writeFile(filler, Buffer.alloc(Number(stdout.trim().split('\n').at(-1)) - MiB));
  const failed = await runHoldfast([...words('delete', 's'), '--json'], environment);
  assert.equal(failed.objects.at(-1)?.['code'], 'target_full', failed.stdout);
  const [half] = await snapshots();
  assert.equal(half?.['deleting'], true);
  const shown = await runHoldfast(words('list'), environment);
  assert.match(shown.stdout, /half deleted/);
  const again = await runHoldfast([...words('delete', 's'), '--json'], environment);
  assert.equal(again.objects.at(-1)?.['code'], 'target_full', again.stdout);
  assert.equal((await domain.status()).state, 'running');
  await rm(filler);
  await holdfast(words('delete', 's'), environment);
  assert.deepEqual(await snapshots(), []);
  assert.deepEqual(await overlays(), []);
  await assertWhole();
});
