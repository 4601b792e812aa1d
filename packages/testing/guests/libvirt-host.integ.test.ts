import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { libvirtHostForTests, proveJournals, startLibvirtHost } from './index.ts';

const host = await libvirtHostForTests();

test('a guest writes to both disks, also without its libvirtd, until QEMU is killed: its journals are whole and in step', async () => {
  const guest = await host.makeGuest({ disks: [{ format: 'qcow2' }, { format: 'raw' }] });
  await guest.start();
  await host.killLibvirtd();
  await assert.rejects(host.virsh('list'));
  await host.startLibvirtd();
  await guest.waitForAgent();
  await host.killQemu(guest.name);
  while ((await host.virsh('domstate', guest.name)).trim() !== 'shut off') await sleep(50);
  const reports = await proveJournals(guest.images);
  assert.equal(reports.length, 2);
  for (const { records } of reports) assert.ok(records > 0);
  await guest.undefine();
  assert.equal((await host.virsh('list', '--all', '--name')).trim(), '');
});

test('hosts live side by side and know nothing of each other', async () => {
  await using other = await startLibvirtHost();
  await other.makeGuest({ name: 'theirs' });
  assert.equal((await other.virsh('list', '--all', '--name')).trim(), 'theirs');
  assert.doesNotMatch(await host.virsh('list', '--all', '--name'), /theirs/);
});

test('at the end guests are gone, and so are their files', async () => {
  await using short = await startLibvirtHost();
  const guest = await short.makeGuest({ writer: 'off' });
  await short.virsh('start', '--paused', guest.name);
  assert.ok(processesNaming(short.directory) > 0);
  await short[Symbol.asyncDispose]();
  assert.equal(processesNaming(short.directory), 0);
  await assert.rejects(stat(short.directory));
});

/** How many processes have the text in their command line. */
function processesNaming(text: string): number {
  return globSync('/proc/[0-9]*/cmdline').filter((file) => {
    try {
      return readFileSync(file, 'utf8').includes(text);
    } catch {
      return false; // ended meanwhile
    }
  }).length;
}
