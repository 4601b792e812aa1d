/** What happens to the machine, its host or us in the middle of a backup, on real guests that write all the time. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type ErrorCode, hasCode, MiB } from '@holdfast/base';
import type { Repository } from '@holdfast/engine';
import type { TinyGuest } from '@holdfast/testing/guests';
import type { MachineBackupOutcome } from './backup-machine.ts';
import { settleLeftovers } from './leftovers.ts';
import { claimMachine } from './machine-claim.ts';
import {
  checkpointNames,
  gateBefore,
  type MachineBed,
  makeLargeDisk,
  proveJournals,
  startMachineBed,
} from './machine-fixture.ts';

let bed: MachineBed;
let guest: TinyGuest;
/** A file system of its own, mounted before the machine is started. */
let smallPlace: string;

const SMALL_PLACE_MIB = 400;

before(async () => {
  smallPlace = await mkdtemp(join(tmpdir(), 'sp-'));
  const mountOptions = ['-t', 'tmpfs', '-o', `size=${SMALL_PLACE_MIB}m,mode=755`, 'holdfast-test', smallPlace];
  await promisify(execFile)('mount', mountOptions);
  bed = await startMachineBed();
  const devices = await makeLargeDisk(bed.host, { name: 'large', sizeMiB: 192 });
  guest = await bed.host.makeGuest({ name: 'web', disks: [{ format: 'qcow2' }, { format: 'qcow2' }], devices });
  await guest.start();
});

after(async () => {
  await bed[Symbol.asyncDispose]();
  await promisify(execFile)('umount', [smallPlace]);
  await rm(smallPlace, { recursive: true });
});

type MidBackup = {
  readonly result: PromiseSettledResult<MachineBackupOutcome>;
  readonly repository: Repository;
};

/** In the middle of a backup into a new repository: most of the large disk is not read yet. */
async function inMidBackup(
  event: () => Promise<unknown>,
  options: { readonly scratchDirectory?: string } = {},
): Promise<MidBackup> {
  const gate = gateBefore(await bed.makeRepository());
  const settled = Promise.allSettled([bed.backup('web', { repository: gate.repository, ...options })]);
  try {
    await Promise.race([gate.reached, settled]);
    await event();
  } finally {
    gate.open();
  }
  return { result: (await settled)[0], repository: gate.repository };
}

function assertFailed({ result }: MidBackup, code: ErrorCode): void {
  assert.ok(result.status === 'rejected', 'a point was made');
  assert.ok(hasCode(result.reason, code), String(result.reason));
}

async function assertTidy(): Promise<void> {
  const domain = await bed.libvirt.domain('web');
  assert.equal(await domain.backupSocket(), undefined);
  for (const directory of [bed.scratchDirectory, join(bed.stateDirectory, 'machines')]) {
    assert.deepEqual(await readdir(directory), []);
  }
}

async function assertNextPointIsWhole(): Promise<void> {
  await assertTidy();
  const { point } = await bed.backup('web');
  await proveJournals((await bed.restore(point)).slice(0, 2));
  assert.ok((await checkpointNames(bed.host, 'web')).includes(point.manifest.disks[0]?.bitmap ?? ''));
  await assertTidy();
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

test('the guest reboots in mid-backup: the point is that of before', async () => {
  const { result, repository } = await inMidBackup(() => bed.host.virsh('reset', 'web'));
  assert.ok(result.status === 'fulfilled', String(result.status === 'rejected' && result.reason));
  await proveJournals((await bed.restore(result.value.point, repository)).slice(0, 2));
  // The agent's channel does not survive a reset.
  await guest.destroy();
  await guest.start();
  await assertNextPointIsWhole();
});

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
  const before = await bed.backup('web');
  const last = await proveJournals((await bed.restore(before.point)).slice(0, 2));
  const filler = join(smallPlace, 'filler');
  const result = await inMidBackup(
    async () => {
      await promisify(execFile)('sh', ['-c', `cat /dev/zero > ${filler} || true`]);
      await sleep(1000);
    },
    { scratchDirectory: join(smallPlace, 'scratch') },
  );
  assertFailed(result, 'scratch_full');
  assert.equal((await (await bed.libvirt.domain('web')).status()).state, 'running');
  assert.deepEqual(await readdir(join(smallPlace, 'scratch')), []);
  await rm(filler);
  await sleep(300);
  const { point } = await bed.backup('web');
  assert.ok((await proveJournals((await bed.restore(point)).slice(0, 2))) > last);
  await assertTidy();
});

test('without room to begin with, nothing is begun', async () => {
  await writeFile(join(smallPlace, 'filler'), Buffer.alloc((SMALL_PLACE_MIB - 100) * MiB));
  const scratchDirectory = join(smallPlace, 'scratch');
  await assert.rejects(bed.backup('web', { scratchDirectory }), (error) => hasCode(error, 'scratch_full'));
  await assertTidy();
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
    await claim.record({ uri: libvirt.uri.text, uuid, name, pid: 1, started_at: now, frozen_since: now, scratch });
    await domain.agent.freeze({ timeoutMs: 10_000 });
    // As long as its holder lives, it is his.
    assert.deepEqual(await settleLeftovers({ libvirt, stateDirectory }), []);
    assert.equal(await domain.agent.freezeState(), 'frozen');
  }
  const [told, ...others] = await settleLeftovers({ libvirt, stateDirectory });
  assert.match(told ?? '', /web may have been frozen since .*; it is thawed/);
  assert.deepEqual(others, []);
  assert.equal(await domain.agent.freezeState(), 'thawed');
  await assertTidy();
});
