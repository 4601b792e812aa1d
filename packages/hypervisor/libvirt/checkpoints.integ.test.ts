import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '@holdfast/base';
import { libvirtHostForTests } from '@holdfast/testing/guests';
import { Libvirt } from './libvirt.ts';

const host = await libvirtHostForTests();
const guest = await host.makeGuest({ disks: [{ format: 'qcow2' }, { format: 'raw' }] });
const domain = await new Libvirt({ uri: host.uri }).domain(guest.name);
const directory = join(host.directory, 'backup');
await mkdir(directory);
await chmod(directory, 0o777); // QEMU, which is not root, makes socket and scratch file

/** Of vda alone; with a checkpoint of it when one is named, and of the raw vdb too when asked for. */
function documents(options: { since?: string; checkpoint?: string; raw?: boolean } = {}) {
  const { since, checkpoint, raw = false } = options;
  return {
    backupXml: `<domainbackup mode='pull'>
      ${since === undefined ? '' : `<incremental>${since}</incremental>`}
      <server transport='unix' socket='${join(directory, 'nbd')}'/>
      <disks>
        <disk name='vda' backup='yes' type='file'><scratch file='${join(directory, 'scratch')}'/></disk>
        <disk name='vdb' backup='no'/>
      </disks>
    </domainbackup>`,
    checkpointXml:
      checkpoint &&
      `<domaincheckpoint><name>${checkpoint}</name><disks>
        <disk name='vda' checkpoint='bitmap'/><disk name='vdb' checkpoint='${raw ? 'bitmap' : 'no'}'/>
      </disks></domaincheckpoint>`,
  };
}

async function backup(options: Parameters<typeof documents>[0] = {}): Promise<void> {
  await domain.beginBackup(documents(options));
}

test('only a running machine is backed up', async () => {
  await assert.rejects(backup(), (error) => hasCode(error, 'vm_state_invalid'));
  await guest.start();
});

test('a backup is a job until it is ended, with a checkpoint that the next one goes on from', async () => {
  await backup({ checkpoint: 'first' });
  assert.equal(await domain.hasJob(), true);
  await domain.abortJob();
  assert.equal(await domain.hasJob(), false);
  await assert.rejects(domain.abortJob(), (error) => hasCode(error, 'vm_state_invalid'));
  await backup({ since: 'first', checkpoint: 'second' });
  await domain.abortJob();
  assert.deepEqual(await domain.checkpoints.list(), ['first', 'second']);
  assert.match(await domain.checkpoints.xml({ checkpoint: 'second' }), /<parent>\s*<name>first</);
  await domain.checkpoints.remove({ checkpoint: 'first' });
  assert.deepEqual(await domain.checkpoints.list(), ['second']);
});

test('a guest is frozen while its backup begins, and each step says what became of it', async () => {
  const done = await domain.beginFrozenBackup({ ...documents({ checkpoint: 'third' }), agentTimeoutMs: 10_000 });
  assert.deepEqual([done.frozen, done.begun, done.thawed], [2, true, 2]);
  assert.ok(done.frozenMs > 0);
  assert.equal(await domain.agent.freezeState(), 'thawed');
  await domain.abortJob();
  await domain.checkpoints.remove({ checkpoint: 'third' });

  const failed = await domain.beginFrozenBackup({ ...documents({ since: 'none' }), agentTimeoutMs: 10_000 });
  assert.deepEqual([failed.frozen, failed.thawed], [2, 2]);
  assert.ok(hasCode(failed.begun, 'checkpoint_not_found'));
  assert.match(failed.begun.message, /^begin a backup of [^;]*$/);
});

test('a guest is thawed also when the program that froze it is killed', async () => {
  const script = `
    const { Virsh } = await import(${JSON.stringify(import.meta.resolve('./virsh.ts'))});
    const agent = (command) => ({ args: ['qemu-agent-command', '${domain.uuid}', JSON.stringify({ execute: command })], doing: command });
    const wait = { args: ['event', '--event', 'reboot', '--timeout', '3'], doing: 'wait' };
    await new Virsh('${host.uri}').runTogether([agent('guest-fsfreeze-freeze'), wait, agent('guest-fsfreeze-thaw')]);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  while ((await domain.agent.freezeState()) !== 'frozen') await sleep(20);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(await domain.agent.freezeState(), 'frozen');
  while ((await domain.agent.freezeState()) !== 'thawed') await sleep(100);
});

test('what cannot be is told apart: no such checkpoint, a raw disk, XML that is none, a socket out of reach', async () => {
  await assert.rejects(backup({ since: 'none' }), (error) => hasCode(error, 'checkpoint_not_found'));
  await assert.rejects(domain.checkpoints.remove({ checkpoint: 'none' }), (error) =>
    hasCode(error, 'checkpoint_not_found'),
  );
  await assert.rejects(backup({ checkpoint: 'raw', raw: true }), (error) => hasCode(error, 'vm_unsupported'));
  await assert.rejects(domain.beginBackup({ backupXml: '<x' }), (error) => hasCode(error, 'vm_definition_invalid'));
  await chmod(directory, 0o700);
  await assert.rejects(
    backup(),
    (error) => hasCode(error, 'libvirt_failed') && /Permission denied/.test(error.message),
  );
  await chmod(directory, 0o777);
  assert.deepEqual(await domain.checkpoints.list(), ['second']);
});

test('after a crash of QEMU a checkpoint is inconsistent, and is forgotten by its metadata', async () => {
  const xml = await domain.checkpoints.xml({ checkpoint: 'second' });
  await host.killQemu(guest.name);
  assert.equal((await domain.waitFor({ states: ['shut_off', 'crashed'], timeoutMs: 120_000 })).reason, 'crashed');
  await guest.start();
  await assert.rejects(backup({ since: 'second' }), (error) => hasCode(error, 'checkpoint_inconsistent'));
  await assert.rejects(domain.checkpoints.remove({ checkpoint: 'second' }), (error) =>
    hasCode(error, 'checkpoint_inconsistent'),
  );
  await domain.checkpoints.remove({ checkpoint: 'second', metadataOnly: true });
  assert.deepEqual(await domain.checkpoints.list(), []);
  await assert.rejects(domain.checkpoints.redefine({ xml, verify: true }), (error) =>
    hasCode(error, 'checkpoint_inconsistent'),
  );
  await domain.checkpoints.redefine({ xml, verify: false });
  assert.deepEqual(await domain.checkpoints.list(), ['second']);
});
