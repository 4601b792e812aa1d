/** `holdfast vm restore` on real guests: what comes back boots, and its writer's records are whole. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeDomain, type DomainDescription } from '@holdfast/hypervisor/libvirt';
import { mountForTest } from '@holdfast/testing';
import { proveJournals, type TinyGuest } from '@holdfast/testing/guests';
import { guestStateOf, pointOfStoppedGuest } from './testing/guest-points-fixture.ts';
import { holdfast, program, runHoldfast, startHoldfast } from './testing/run-holdfast.ts';
import { hashOf } from './testing/test-disks.ts';
import { makeRepository, startVmBed } from './testing/vm-fixture.ts';

const bed = await startVmBed();
const { host, connect, environment } = bed;
Object.assign(process.env, environment);
const storage = await makeRepository(bed);
const repository = join(host.directory, 'repository');

type RestoredDisk = {
  readonly name: string;
  readonly to: string;
  readonly format: string;
  readonly kept_bytes: number;
  readonly written_bytes: number;
};

type Result = {
  readonly vm: string;
  readonly uuid: string;
  readonly disks: readonly RestoredDisk[];
  readonly replaced: readonly { readonly name: string; readonly path: string }[];
  readonly nvram: string | null;
  readonly warnings: readonly string[];
};

const restoreWords = (point: string, ...words: readonly string[]) => [
  'vm',
  'restore',
  point,
  ...storage,
  ...connect,
  ...words,
];

async function restore(point: string, ...words: readonly string[]): Promise<Result> {
  return (await holdfast(restoreWords(point, ...words))) as unknown as Result;
}

/** The problem of a restore that must fail. */
async function refusal(point: string, ...words: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const { code, objects, stderr } = await runHoldfast([...restoreWords(point, ...words), '--json']);
  const problem = objects.at(-1) ?? {};
  assert.notEqual(code, 0, stderr);
  assert.equal(problem['type'], 'problem', stderr);
  return problem;
}

async function definitionOf(vm: string): Promise<DomainDescription> {
  return describeDomain(await host.virsh('dumpxml', vm, '--inactive', '--security-info'));
}

async function machines(): Promise<readonly string[]> {
  return (await host.virsh('list', '--all', '--name')).split('\n').filter((name) => name !== '');
}

async function directory(name: string): Promise<string> {
  const path = join(host.directory, name);
  await mkdir(path, { mode: 0o755 });
  return path;
}

/** Everything in it, hidden things too. */
const entries = async (path: string) => (await readdir(path)).toSorted();

async function bootFor(guest: TinyGuest, durationMs: number): Promise<void> {
  await guest.start();
  await sleep(durationMs);
  await guest.destroy();
}

/** Answers the numbers of the last records. */
async function assertJournals(images: readonly string[]): Promise<readonly number[]> {
  const reports = await proveJournals(images);
  for (const { records, file } of reports) assert.ok(records > 0, file);
  return reports.map(({ last }) => last);
}

const mac = '52:54:00:aa:bb:cc';
const card = `<interface type='user'><mac address='${mac}'/><model type='virtio'/></interface>`;

test('a point becomes a machine of its own beside the old one: it boots, and its journals are whole', async () => {
  const guest = await host.makeGuest({ disks: [{ format: 'qcow2' }, { format: 'raw' }], devices: card });
  await bootFor(guest, 700);
  const point = await pointOfStoppedGuest({ host, vm: guest.name, repository });
  const before = await assertJournals(guest.images);
  const to = await directory('as-new');
  const restored = await restore(point, '--as', 'copy', '--directory', to);
  assert.deepEqual(
    restored.disks.map(({ name, to: path, format }) => ({ name, path, format })),
    [
      { name: 'vda', path: join(to, 'copy-vda.qcow2'), format: 'qcow2' },
      { name: 'vdb', path: join(to, 'copy-vdb.raw'), format: 'raw' },
    ],
  );
  assert.deepEqual(await entries(to), ['copy-vda.qcow2', 'copy-vdb.raw']);
  const images = restored.disks.map(({ to: path }) => path);
  assert.deepEqual(await assertJournals(images), before);
  const raw = await stat(images[1]!);
  assert.ok(raw.blocks * 512 < raw.size / 2, 'it is sparse');

  const [old, made] = [await definitionOf(guest.name), await definitionOf('copy')];
  assert.equal(made.uuid, restored.uuid);
  assert.notEqual(made.uuid, old.uuid);
  assert.deepEqual(old.macs, [mac]);
  assert.match(made.macs.join(' '), /^52:54:00(:[0-9a-f]{2}){3}$/);
  assert.notDeepEqual(made.macs, old.macs);

  // Both at once: they share nothing.
  await guest.start();
  await host.virsh('start', 'copy');
  await host.waitForAgent('copy');
  await sleep(500);
  await host.virsh('destroy', 'copy');
  await guest.destroy();
  const [first = 0] = await assertJournals(images);
  assert.ok(first > before[0]!, 'its writer went on where the point ends');

  assert.equal((await refusal(point, '--as', 'copy', '--directory', to))['code'], 'vm_exists');
  await host.virsh('undefine', 'copy');
  await guest.undefine();
});

test('in place: fresh disks are swapped in, old ones stay as they are, checkpoints are forgotten', async () => {
  const guest = await host.makeGuest({ disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  await bootFor(guest, 500);
  const point = await pointOfStoppedGuest({ host, vm: guest.name, repository });
  const before = await assertJournals(guest.images);
  await guest.start();
  const checkpoint = join(host.directory, 'checkpoint.xml');
  await writeFile(checkpoint, '<domaincheckpoint><name>cp1</name></domaincheckpoint>');
  await host.virsh('checkpoint-create', guest.name, checkpoint);

  const running = await refusal(point);
  assert.equal(running['code'], 'vm_state_invalid');
  assert.match(String(running['remedy']), new RegExp(`virsh shutdown ${guest.name}`));
  await sleep(500);
  await host.virsh('managedsave', guest.name);
  assert.match(String((await refusal(point))['remedy']), /managedsave-remove/);
  await host.virsh('managedsave-remove', guest.name);

  const old = await Promise.all(guest.images.map(hashOf));
  const description = await definitionOf(guest.name);
  const restored = await restore(point, '--start');
  assert.equal(restored.uuid, description.uuid);
  assert.deepEqual(
    restored.replaced,
    guest.images.map((path, index) => ({ name: `vd${'ab'.charAt(index)}`, path })),
  );
  await host.waitForAgent(guest.name);
  await guest.destroy();
  assert.deepEqual(await Promise.all(guest.images.map(hashOf)), old);
  const { disks, macs, uuid } = await definitionOf(guest.name);
  const images = restored.disks.map(({ to }) => to);
  assert.deepEqual(
    disks.map(({ source }) => source),
    images.map((path) => ({ kind: 'file', path })),
  );
  assert.deepEqual({ macs, uuid }, { macs: description.macs, uuid: description.uuid });
  const [first = 0] = await assertJournals(images);
  assert.ok(first >= before[0]!);
  assert.equal((await host.virsh('checkpoint-list', guest.name, '--name')).trim(), '');

  // One disk only: the other stays where it is.
  const again = await restore(point, '--disk', 'vdb');
  const [one, other] = (await definitionOf(guest.name)).disks;
  assert.deepEqual(one?.source, { kind: 'file', path: images[0] });
  assert.deepEqual(other?.source, { kind: 'file', path: again.disks[0]?.to });
  assert.deepEqual(again.replaced, [{ name: 'vdb', path: images[1] }]);

  // Its series has ended: the next backup begins one of its own.
  const backUp = async () => await holdfast(['vm', 'backup', guest.name, ...storage, ...connect]);
  const [next, after] = [await backUp(), await backUp()];
  assert.deepEqual([next['kind'], next['increment_id'], next['requested']], ['full', 1, 'full']);
  assert.deepEqual([after['increment_id'], after['series']], [2, next['series']]);
  await guest.undefine();
});

test('what cannot be is refused, and nothing is left behind', async (context: TestContext) => {
  const guest = await host.makeGuest({ disks: [{ format: 'qcow2' }, { format: 'raw' }], writer: 'off' });
  const point = await pointOfStoppedGuest({ host, vm: guest.name, repository });
  const to = await directory('refused');
  const asNew = (...words: readonly string[]) => refusal(point, '--as', 'refused', ...words);
  const known = await machines();

  assert.equal((await asNew())['code'], 'usage');
  const missing = await asNew('--directory', join(to, 'nowhere'));
  assert.deepEqual([missing['code'], String(missing['detail']).includes('nowhere')], ['target_unwritable', true]);
  assert.equal((await asNew('--directory', to, '--disk', 'vdz'))['code'], 'disk_not_found');
  assert.equal((await refusal(point, '--as', 'a/b', '--directory', to))['code'], 'usage');
  assert.equal((await refusal(point, '--vm', 'nobody'))['code'], 'vm_not_found');
  const remote = await runHoldfast([
    ...['vm', 'restore', point, ...storage, '--connect', 'qemu+tcp://127.0.0.1/system'],
    ...['--as', 'refused', '--directory', to, '--json'],
  ]);
  assert.equal(remote.objects.at(-1)?.['code'], 'libvirt_remote');

  await writeFile(join(to, 'refused-vdb.raw'), 'mine');
  assert.equal((await asNew('--directory', to))['code'], 'target_exists');
  assert.equal(await readFile(join(to, 'refused-vdb.raw'), 'utf8'), 'mine');
  assert.deepEqual(await entries(to), ['refused-vdb.raw']);

  const full = join(host.directory, 'full');
  await using mount = await mountForTest({ at: full, options: 'size=8m,mode=0755', test: context });
  if (mount) {
    await writeFile(join(full, 'filler'), Buffer.alloc(6 * 1024 * 1024));
    assert.equal((await asNew('--directory', full))['code'], 'target_full');
    assert.deepEqual(await entries(full), ['filler']);
    // In place, too: the machine is as it was.
    const { disks } = await definitionOf(guest.name);
    assert.equal((await refusal(point, '--directory', full))['code'], 'target_full');
    assert.deepEqual(await entries(full), ['filler']);
    assert.deepEqual((await definitionOf(guest.name)).disks, disks);
  }
  assert.deepEqual(await machines(), known);

  await host.virsh('detach-disk', guest.name, 'vdb', '--config');
  const lacking = await refusal(point);
  assert.deepEqual([lacking['code'], String(lacking['remedy']).includes('--disk')], ['vm_disk_not_found', true]);
  await guest.undefine();
  const gone = await refusal(point);
  assert.deepEqual([gone['code'], String(gone['remedy']).includes('--as')], ['vm_not_found', true]);
});

test('a point of disks alone makes no machine, and says what to do', async () => {
  const disk = join(host.directory, 'lone.raw');
  await writeFile(disk, Buffer.alloc(1024 * 1024, 7));
  const { point } = await holdfast(['backup', ...storage, '--resource', 'volumes/lone', disk]);
  const problem = await refusal(String(point), '--as', 'lone', '--directory', host.directory);
  assert.equal(problem['code'], 'point_without_machine');
});

test('one disk comes back into a new image, in the format of its source', async () => {
  const guest = await host.makeGuest({ disks: [{ format: 'qcow2' }, { format: 'raw' }], writer: 'off' });
  const point = await pointOfStoppedGuest({ host, vm: guest.name, repository });
  const to = await directory('volume');
  const words = ['vm', 'restore', point, ...storage];
  await holdfast([...words, '--disk', 'vda', '--to', join(to, 'a')]);
  await holdfast([...words, '--disk', 'vdb', '--to', join(to, 'b')]);
  await holdfast([...words, '--disk', 'vdb', '--to', join(to, 'c'), '--format', 'qcow2']);
  assert.deepEqual(await entries(to), ['a', 'b', 'c']);
  const compare = (format: string, name: string, image: string) =>
    host.run('qemu-img', 'compare', '-f', format, '-F', format === 'raw' ? 'raw' : 'qcow2', join(to, name), image);
  await compare('qcow2', 'a', guest.images[0]!);
  await compare('raw', 'b', guest.images[1]!);
  await host.run('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', join(to, 'c'), guest.images[1]!);
  assert.equal((await refusal(point, '--to', join(to, 'd')))['code'], 'disk_not_found');
  assert.equal((await refusal(point, '--to', join(to, 'a'), '--disk', 'vda'))['code'], 'target_exists');
  assert.equal((await refusal(point, '--to', join(to, 'd'), '--as', 'x', '--directory', to))['code'], 'usage');
  await guest.undefine();
});

test('kill -9 in the middle: no machine is known, and the next run goes on', async () => {
  const guest = await host.makeGuest({ disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  await bootFor(guest, 300);
  const point = await pointOfStoppedGuest({ host, vm: guest.name, repository });
  const to = await directory('killed');
  const killed = async (...words: readonly string[]) => {
    const run = startHoldfast([...restoreWords(point, ...words), '--limit-rate', '512K', '--json']);
    await run.object('progress');
    await sleep(1000);
    run.child.kill('SIGKILL');
    assert.equal((await run.ended).code, null);
  };
  const asNew = ['--as', 'killed', '--directory', to];
  const known = await machines();
  await killed(...asNew);
  assert.deepEqual(await machines(), known);
  assert.ok(existsSync(join(to, '.killed.holdfast-new')));
  const restored = await restore(point, ...asNew);
  assert.ok(restored.disks[0]!.kept_bytes > 0, 'what was right was kept');
  await assertJournals(restored.disks.map(({ to: path }) => path));
  assert.deepEqual(await entries(to), ['killed-vda.qcow2', 'killed-vdb.qcow2']);
  await host.virsh('start', 'killed');
  await host.waitForAgent('killed');
  await host.virsh('destroy', 'killed');
  await host.virsh('undefine', 'killed');

  // In place, another point in between: what the first run began is of no use and goes.
  const files = (await entries(host.directory)).filter((name) => name.includes(guest.name));
  await killed();
  assert.deepEqual(
    (await definitionOf(guest.name)).disks.map(({ source }) => source),
    guest.images.map((path) => ({ kind: 'file', path })),
  );
  const other = await pointOfStoppedGuest({ host, vm: guest.name, repository });
  const { disks, replaced } = await restore(other);
  const now = (await entries(host.directory)).filter((name) => name.includes(guest.name));
  assert.deepEqual(now, [...files, ...disks.map(({ to: path }) => path.slice(host.directory.length + 1))].toSorted());
  assert.deepEqual(
    replaced.map(({ path }) => path),
    guest.images,
  );
  await guest.undefine();
});

test('two restores of one machine at once: one is refused; an interrupt leaves nothing', async () => {
  const guest = await host.makeGuest({ writer: 'off' });
  const point = await pointOfStoppedGuest({ host, vm: guest.name, repository });
  const known = await machines();
  const to = await directory('twice');
  const asNew = ['--as', 'twice', '--directory', to];
  const run = startHoldfast([...restoreWords(point, ...asNew), '--limit-rate', '64K', '--json']);
  await run.object('progress');
  assert.equal((await refusal(point, ...asNew))['code'], 'vm_busy');
  run.child.kill('SIGINT');
  assert.equal((await run.ended).code, 130);
  assert.deepEqual(await entries(to), []);
  assert.deepEqual(await machines(), known);
  await guest.undefine();
});

test('a machine with UEFI and a TPM comes back with their state', async () => {
  const devices = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>";
  const guest = await host.makeGuest({ firmware: 'uefi', devices });
  await bootFor(guest, 300);
  const point = await pointOfStoppedGuest({ host, vm: guest.name, repository });
  const stateOf = async (vm: string) => await guestStateOf(host, await definitionOf(vm));
  const state = await stateOf(guest.name);
  assert.deepEqual(
    state.map(({ name }) => name),
    ['nvram', 'tpm/tpm2/tpm2-00.permall'],
  );
  // On the host itself, which has its own /var/lib/libvirt.
  const onHost = async (...words: readonly string[]): Promise<Result> => {
    const output = await host.run(program, 'vm', 'restore', point, ...storage, ...words, '--json');
    return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Result;
  };
  const to = await directory('uefi');
  const restored = await onHost('--as', 'uefi-copy', '--directory', to);
  assert.equal(restored.nvram, '/var/lib/libvirt/qemu/nvram/uefi-copy_VARS.fd');
  assert.deepEqual(await stateOf('uefi-copy'), state);
  await host.virsh('start', 'uefi-copy');
  await host.waitForAgent('uefi-copy');
  await host.virsh('destroy', 'uefi-copy');
  await assertJournals([restored.disks[0]!.to]);
  assert.deepEqual(await stateOf(guest.name), state, 'the other machine keeps its own');

  // In place: variables that were changed since are those of the point again, in a file of their own.
  const changed = join(host.stateDirectory, 'qemu/nvram', `${guest.name}_VARS.fd`);
  await writeFile(changed, 'changed');
  const { nvram, replaced } = await onHost();
  assert.deepEqual(replaced.at(-1), { name: 'nvram', path: `/var/lib/libvirt/qemu/nvram/${guest.name}_VARS.fd` });
  assert.equal((await definitionOf(guest.name)).nvramPath, nvram);
  const onThisSide = join(host.stateDirectory, String(nvram).slice('/var/lib/libvirt'.length));
  assert.ok((await readFile(onThisSide)).equals(state[0]!.bytes));
  assert.equal(await readFile(changed, 'utf8'), 'changed');
  await host.virsh('start', guest.name, '--paused');
  await host.virsh('destroy', guest.name);
  for (const vm of [guest.name, 'uefi-copy']) await host.virsh('undefine', vm, '--nvram', '--tpm');
});
