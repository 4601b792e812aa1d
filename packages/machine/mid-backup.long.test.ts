/** What happens to the machine, its host or us in the middle of a backup, on real guests that write all the time. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { MiB } from '@holdfast/base';
import { settleLeftovers } from './leftovers.ts';
import { claimMachine } from './machine-claim.ts';
import {
  assertFailed,
  checkpointNames,
  isCode,
  makeLargeDisk,
  startMachineBed,
  waitForWrites,
} from './machine-fixture.ts';

/** A file system of its own, mounted before the machine is started. */
const smallPlace = await mkdtemp(join(tmpdir(), 'sp-'));
const SMALL_PLACE_MIB = 400;
const mountOptions = ['-t', 'tmpfs', '-o', `size=${SMALL_PLACE_MIB}m,mode=755`, 'holdfast-test', smallPlace];
await promisify(execFile)('mount', mountOptions);

const bed = await startMachineBed({ devicesOn: (host) => makeLargeDisk(host, { name: 'large', sizeMiB: 192 }) });
const { guest } = bed;

// After the host, which sees it too.
after(async () => {
  await promisify(execFile)('umount', [smallPlace]);
  await rm(smallPlace, { recursive: true });
});

await guest.start();

/** In the middle of a backup into a new repository: most of the large disk is not read yet. */
async function inMidBackup(event: () => Promise<unknown>) {
  return await bed.backupMeanwhile(event, { repository: await bed.makeRepository() });
}

async function assertNextPointIsWhole(): Promise<void> {
  await bed.assertTidy();
  const point = await bed.nextPoint();
  assert.ok((await checkpointNames(bed.host)).includes(point.manifest.disks[0]?.bitmap ?? ''));
}

test('the machine is turned off in mid-backup: no point, and the next one, of the machine that is off, is whole', async () => {
  assertFailed(await inMidBackup(() => guest.destroy()), 'backup_job_ended');
  await assertNextPointIsWhole();
  await guest.start();
});

test('the guest shuts down in mid-backup', async () => {
  const domain = await bed.libvirt.domain('web');
  const result = await inMidBackup(async () => {
    await domain.shutdown({ by: 'agent' });
    await domain.waitFor({ states: ['shut_off'], timeoutMs: 120_000 });
  });
  assertFailed(result, 'backup_job_ended');
  await guest.start();
  await assertNextPointIsWhole();
});

for (const command of ['reset web', 'reboot web --mode agent']) {
  test(`${command} in mid-backup: the point is that of before, while the guest boots and writes again`, async () => {
    const last = await bed.prove(await bed.nextPoint());
    const repository = await bed.makeRepository();
    const result = await bed.backupMeanwhile(
      async () => {
        await bed.host.virsh(...command.split(' '));
        await waitForWrites(bed.host);
      },
      { repository },
    );
    assert.ok(result.status === 'fulfilled', String(result.status === 'rejected' && result.reason));
    assert.ok((await bed.prove(result.value.point, repository)) >= last);
    // The agent's channel does not survive a reset.
    await guest.destroy();
    await guest.start();
    await assertNextPointIsWhole();
  });
}

test('QEMU is killed in mid-backup', async () => {
  const domain = await bed.libvirt.domain('web');
  const result = await inMidBackup(async () => {
    await bed.host.killQemu('web');
    await domain.waitFor({ states: ['shut_off'], timeoutMs: 60_000 });
  });
  assertFailed(result, 'backup_job_ended');
  await guest.start();
  await assertNextPointIsWhole();
});

test('somebody ends the job in mid-backup', async () => {
  assertFailed(await inMidBackup(() => bed.host.virsh('domjobabort', 'web')), 'backup_job_ended');
  await assertNextPointIsWhole();
});

test('scratch space runs out: the backup ends, the guest goes on writing', async () => {
  const last = await bed.prove(await bed.nextPoint());
  const filler = join(smallPlace, 'filler');
  const result = await bed.backupMeanwhile(
    async () => {
      await promisify(execFile)('sh', ['-c', `cat /dev/zero > ${filler} || true`]);
      await sleep(1000);
    },
    { repository: await bed.makeRepository(), scratchDirectory: join(smallPlace, 'scratch') },
  );
  assertFailed(result, 'scratch_full');
  assert.equal((await (await bed.libvirt.domain('web')).status()).state, 'running');
  assert.deepEqual(await readdir(join(smallPlace, 'scratch')), []);
  await rm(filler);
  await sleep(300);
  assert.ok((await bed.prove(await bed.nextPoint())) > last);
});

test('without room to begin with, nothing is begun', async () => {
  await writeFile(join(smallPlace, 'filler'), Buffer.alloc((SMALL_PLACE_MIB - 100) * MiB));
  const scratchDirectory = join(smallPlace, 'scratch');
  await assert.rejects(bed.backup({ scratchDirectory }), isCode('scratch_full'));
  await bed.assertTidy();
});

test('a guest that a dead process left frozen is thawed by the next command, and its scratch space given back', async () => {
  const domain = await bed.libvirt.domain('web');
  const { stateDirectory, libvirt } = bed;
  const scratch = join(bed.scratchDirectory, 'holdfast-job-dead');
  await mkdir(scratch);
  {
    await using claim = await claimMachine({ stateDirectory, uuid: domain.uuid, name: 'web' });
    const now = new Date().toISOString();
    const { name, uuid } = domain;
    const held = { frozen_since: now, open_hook: null };
    await claim.record({ uri: libvirt.uri.text, uuid, name, pid: 1, started_at: now, ...held, scratch });
    await domain.agent.freeze({ timeoutMs: 10_000 });
    // As long as its holder lives, it is his.
    assert.deepEqual(await settleLeftovers({ libvirt, stateDirectory }), []);
    assert.equal(await domain.agent.freezeState(), 'frozen');
  }
  const [told, ...others] = await settleLeftovers({ libvirt, stateDirectory });
  assert.match(told ?? '', /web may have been frozen since .*; it is thawed/);
  assert.deepEqual(others, []);
  assert.equal(await domain.agent.freezeState(), 'thawed');
  await bed.assertTidy();
});
