/** libvirt waits 30 s for a lock before it says that a machine is busy. */
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
import { Virsh } from './virsh.ts';

const host = await libvirtHostForTests();
const guest = await host.makeGuest({ writer: 'off' });
const domain = await new Libvirt({ uri: host.uri }).domain(guest.name);
const directory = join(host.directory, 'backup');
await mkdir(directory);
await chmod(directory, 0o777);
const backupXml = `<domainbackup mode='pull'>
  <server transport='unix' socket='${join(directory, 'nbd')}'/>
  <disks><disk name='vda' backup='yes' type='file'><scratch file='${join(directory, 'scratch')}'/></disk></disks>
</domainbackup>`;
await guest.start();

test('a second backup is told that the machine is busy; whoever waits for the job to end begins then', async () => {
  await domain.beginBackup({ backupXml });
  await assert.rejects(domain.beginBackup({ backupXml }), (error) => hasCode(error, 'vm_busy'));
  let attempts = 0;
  const waiting = domain.whenFree(() => {
    attempts += 1;
    return domain.beginBackup({ backupXml });
  });
  await sleep(32_000);
  await domain.abortJob();
  await waiting;
  assert.equal(attempts, 2);
  assert.equal(await domain.hasJob(), true);
  await domain.abortJob();
});

test('a QEMU that stands still ends a call by its time limit, and goes on afterwards as if nothing had been', async () => {
  const { name, uuid } = domain;
  await host.run('sh', '-c', `kill -STOP $(cat '/run/libvirt/qemu/${name}.pid')`);
  const virsh = new Virsh(host.uri);
  const args = ['qemu-monitor-command', uuid, '{"execute":"query-status"}'];
  await assert.rejects(virsh.run({ args, doing: 'ask QEMU', timeoutMs: 1000 }), (error) =>
    hasCode(error, 'libvirt_timeout'),
  );
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error('enough')), 500);
  await assert.rejects(virsh.run({ args, doing: 'ask QEMU', signal: stop.signal }), /enough/);
  await host.run('sh', '-c', `kill -CONT $(cat '/run/libvirt/qemu/${name}.pid')`);
  assert.equal((await domain.status()).state, 'running');
  await domain.agent.ping();
});

test('Ctrl-C at the terminal does not cut a call in half: virsh stands in a session of its own', async () => {
  const script = `
    const { Virsh } = await import(${JSON.stringify(import.meta.resolve('./virsh.ts'))});
    process.on('SIGINT', () => console.log('interrupted'));
    console.log('begin');
    const startedMs = performance.now();
    const args = ['event', '--event', 'reboot', '--timeout', '2'];
    await new Virsh('${host.uri}').run({ args, doing: 'wait' }).catch(() => undefined);
    console.log(performance.now() - startedMs);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = once(child, 'close');
  await once(child.stdout, 'data');
  await sleep(1000);
  process.kill(-(child.pid ?? 0), 'SIGINT');
  await ended;
  const [begin, interrupted, tookMs] = said.split('\n');
  assert.deepEqual([begin, interrupted], ['begin', 'interrupted']);
  assert.ok(Number(tookMs) >= 2000, tookMs);
});
