/** `holdfast vm snapshot` on a libvirt of its own with a real machine that writes all the time. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { proveJournals, readJournals } from '@holdfast/testing/guests';
import { holdfast, runHoldfast, startHoldfast } from './testing/run-holdfast.ts';
import { startVmBed } from './testing/vm-fixture.ts';

const { host, connect, environment } = await startVmBed();
const guest = await host.makeGuest({ name: 'web', disks: [{ format: 'qcow2' }, { format: 'qcow2' }], writer: 5 });

function words(verb: string, ...more: readonly string[]): readonly string[] {
  return ['vm', 'snapshot', verb, 'web', ...more, ...connect];
}

/** Paths of the machine's disks. */
async function defined(): Promise<readonly string[]> {
  const lines = (await host.virsh('domblklist', 'web', '--inactive')).trim().split('\n');
  return lines.map((line) => line.trim().split(/\s+/)[1] ?? '');
}

test('a snapshot of a running machine is taken, listed, and restored when it is off, however often that is killed', async () => {
  await guest.start();
  const taken = await runHoldfast(words('create', 'before upgrade', '--consistency', 'require'), environment);
  assert.equal(taken.stdout, 'Took the snapshot before upgrade of vda, vdb (frozen).\n', taken.stderr);
  await sleep(300);
  const listed = await runHoldfast(words('list'), environment);
  assert.match(listed.stdout, /TAKEN +DISKS +KEEPS +STATE +NAME\n.* vda,vdb +[\d.]+ [KM]iB +frozen +before upgrade\n$/);
  const refused = await runHoldfast(words('restore', 'before upgrade'), environment);
  assert.match(refused.stderr, /code: vm_state_invalid/);
  await guest.destroy();
  const old = guest.images;
  const whole = await readJournals(old);

  for (let delayMs = 300; delayMs < 1500 && (await defined()).every((path) => old.includes(path)); delayMs += 250) {
    const { child, ended } = startHoldfast(words('restore', 'before upgrade'), environment);
    await sleep(delayMs);
    child.kill('SIGKILL');
    await ended;
    const paths = await defined();
    assert.ok(paths.every((path) => old.includes(path)) || !paths.some((path) => old.includes(path)), paths.join());
  }
  if ((await defined()).every((path) => old.includes(path)))
    await holdfast(words('restore', 'before upgrade'), environment);
  const fresh = await defined();
  assert.ok(!fresh.some((path) => old.includes(path)));
  assert.ok((await proveJournals(fresh))[0].last < (whole[0]?.last ?? 0));
  assert.deepEqual(await readJournals(old), whole);
  assert.deepEqual(
    (await readdir(host.directory)).filter((name) => name.endsWith('.unfinished')),
    [],
  );
  await guest.start();
});

test('deleting frees a snapshot, also while the machine runs; what cannot be is said with its code', async () => {
  await holdfast(words('create', 's'), environment);
  const code = async (...call: readonly string[]): Promise<readonly unknown[]> => {
    const run = await runHoldfast([...call, '--json'], environment);
    return [run.code, run.objects.at(-1)?.['code']];
  };
  assert.deepEqual(await code(...words('create', 's')), [1, 'snapshot_exists']);
  assert.deepEqual(await code(...words('create', '12')), [2, 'snapshot_name_invalid']);
  assert.deepEqual(await code(...words('create', 't', '--consistency', 'maybe')), [2, 'usage']);
  const [image = ''] = await defined();
  assert.deepEqual(await code('volume', 'snapshot', 'create', image, 't'), [1, 'volume_busy']);
  await holdfast(words('delete', 's'), environment);
  assert.deepEqual(await code(...words('delete', 's')), [1, 'snapshot_not_found']);
  const { snapshots } = await holdfast(words('list'), environment);
  assert.deepEqual(snapshots, []);
});
