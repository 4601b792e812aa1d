import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode, systemClock } from '@holdfast/base';
import { describeDomain } from '@holdfast/hypervisor/libvirt';
import { createVmSnapshot, SnapshotJournal } from '@holdfast/hypervisor/snapshot';
import { proveJournals, readJournals } from '@holdfast/testing/guests';
import { startMachineBed } from '../machine-fixture.ts';
import { restoreVmSnapshot, type RestoreSnapshotOptions } from '../restore.ts';

const { host, libvirt, guest, stateDirectory } = await startMachineBed({ writer: 5 });
const domain = await libvirt.domain('web');
const journal = new SnapshotJournal({ stateDirectory });
const options: RestoreSnapshotOptions = { libvirt, domain, journal, snapshot: 'before', clock: systemClock };
const usual = { agentTimeoutMs: 10_000, allowStall: false, clock: systemClock } as const;
await guest.start();
await sleep(300);
await createVmSnapshot({ domain, journal, name: 'before', ...usual, consistency: 'require' });
await sleep(300);

async function definedPaths(): Promise<readonly string[]> {
  const { disks } = describeDomain(await domain.xml({ which: 'stored' }));
  return disks.map(({ source }) => (source.kind === 'file' ? source.path : ''));
}

async function filesBeside(): Promise<readonly string[]> {
  return (await readdir(host.directory)).filter((name) => /qcow2|holdfast/.test(name)).toSorted();
}

test('while it runs nothing is restored and nothing is made', async () => {
  const before = await filesBeside();
  await assert.rejects(restoreVmSnapshot(options), (error) => hasCode(error, 'vm_state_invalid'));
  assert.deepEqual(await filesBeside(), before);
  await guest.destroy();
});

test('a failure and an abort leave machine and directory as they were', async () => {
  const before = await filesBeside();
  const stop = new AbortController();
  const onProgress = ({ disk }: { readonly disk: string }): void => {
    if (disk === 'vdb') stop.abort(new Error('enough'));
  };
  await assert.rejects(restoreVmSnapshot({ ...options, onProgress, signal: stop.signal }), /enough/);
  await assert.rejects(restoreVmSnapshot({ ...options, snapshot: 'none' }), (error) =>
    hasCode(error, 'snapshot_not_found'),
  );
  const directory = join(host.directory, 'none');
  await assert.rejects(restoreVmSnapshot({ ...options, directory }), (error) => hasCode(error, 'target_unwritable'));
  assert.deepEqual(await filesBeside(), before);
  assert.deepEqual(await definedPaths(), guest.images);
});

test('fresh disks of that moment are swapped in, the old ones stay, and the machine starts on them', async () => {
  const [last] = await proveJournals(guest.images);
  const directory = join(host.directory, 'fresh');
  await mkdir(directory, { mode: 0o755 });
  const { disks, replaced } = await restoreVmSnapshot({ ...options, directory });
  const paths = disks.map(({ path }) => path);
  assert.deepEqual(await definedPaths(), paths);
  assert.deepEqual(
    replaced.map(({ path }) => path),
    guest.images,
  );
  const fresh = await proveJournals(paths);
  for (const { needs_recovery: isUnclean } of fresh) assert.equal(isUnclean, 0);
  assert.ok(fresh[0].last < last.last, 'the snapshot is older than what the machine wrote at last');
  assert.deepEqual((await readJournals(guest.images))[0], last);
  await domain.start();
  await guest.waitForAgent();
  await guest.destroy();
  assert.ok((await proveJournals(paths))[0].last >= fresh[0].last);
  // The fresh disks have no snapshots.
  await assert.rejects(restoreVmSnapshot(options), (error) => hasCode(error, 'snapshot_not_found'));
});

test('a run that was killed after one disk goes on, and takes what is whole', async () => {
  await createVmSnapshot({ domain, journal, name: 'second', ...usual, consistency: 'never' });
  const directory = join(host.directory, 'killed');
  await mkdir(directory, { mode: 0o755 });
  const stop = new AbortController();
  // A kill: what is on the disk when the second image is begun is what it leaves.
  const kept = join(host.directory, 'kept');
  await mkdir(kept);
  const left: Promise<void>[] = [];
  const onProgress = ({ disk }: { readonly disk: string }): void => {
    if (disk !== 'vdb' || left.length > 0) return;
    left.push(
      (async () => {
        for (const name of await readdir(directory)) await rename(join(directory, name), join(kept, name));
        stop.abort(new Error('killed'));
      })(),
    );
  };
  await assert.rejects(
    restoreVmSnapshot({ ...options, snapshot: 'second', directory, onProgress, signal: stop.signal }),
  );
  await Promise.all(left);
  const names = await readdir(kept);
  assert.equal(names.length, 3, names.join());
  for (const name of names) await rename(join(kept, name), join(directory, name));
  const whole = names.find((name) => /vda/.test(name) && !name.startsWith('.')) ?? '';
  const bytes = await readFile(join(directory, whole));
  await writeFile(join(directory, names.find((name) => name.endsWith('.unfinished')) ?? ''), 'half of an image');
  const { disks, replaced } = await restoreVmSnapshot({ ...options, snapshot: 'second', directory });
  assert.equal(disks[0]?.path, join(directory, whole));
  assert.ok((await readFile(disks[0]?.path ?? '')).equals(bytes));
  assert.deepEqual(
    (await readdir(directory)).toSorted(),
    disks.map(({ path }) => path.slice(directory.length + 1)).toSorted(),
  );
  assert.deepEqual(
    await definedPaths(),
    disks.map(({ path }) => path),
  );
  const told = async (images: readonly string[]): Promise<readonly object[]> =>
    (await readJournals(images)).map(({ file: _file, ...journalOfDisk }) => journalOfDisk);
  assert.deepEqual(await told(disks.map(({ path }) => path)), await told(replaced.map(({ path }) => path)));
});
