/**
 * A machine moves by way of a backup: a point taken on one host is restored and booted on another. The hosts are those of
 * fixtures/multi-host.sh, with addresses of their own; neither sees the other's directories, both see the storage.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { makeGuest, readJournals, waitForAgent } from '@holdfast/testing/guests';

const root = resolve(import.meta.dirname, '..');
const script = join(root, 'fixtures/multi-host.sh');
const runFile = promisify(execFile);

interface Host extends AsyncDisposable {
  readonly directory: string;
  /** From outside, by its address. */
  virsh(...args: readonly string[]): Promise<string>;
  /** On the host itself. */
  run(program: string, ...args: readonly string[]): Promise<string>;
  /** The result of a command on the host itself. */
  holdfast(...words: readonly string[]): Promise<Readonly<Record<string, unknown>>>;
}

async function startHost(top: string, number: number): Promise<Host> {
  const directory = join(top, `h${number}`);
  const control = async (what: 'start' | 'stop') =>
    await runFile(script, [String(number), what], { env: { ...process.env, MH_ROOT: top } });
  await control('start');
  const pid = (await readFile(join(directory, 'libvirtd.pid'), 'utf8')).trim();
  const run = async (program: string, ...args: readonly string[]): Promise<string> =>
    (await runFile('nsenter', ['-t', pid, '-m', '-n', '-u', program, ...args])).stdout;
  const virsh = async (...args: readonly string[]): Promise<string> =>
    (await runFile('virsh', ['--quiet', '--connect', `qemu+tcp://10.77.${number}.2/system`, ...args])).stdout;
  return {
    directory,
    run,
    virsh,
    async holdfast(...words) {
      const state = `HOLDFAST_STATE_DIRECTORY=${join(directory, 'state')}`;
      const output = await run('env', state, join(root, 'bin/holdfast'), ...words, '--json');
      return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Readonly<Record<string, unknown>>;
    },
    async [Symbol.asyncDispose]() {
      const running = await virsh('list', '--name').catch(() => '');
      for (const name of running.split('\n').filter((line) => line !== '')) await virsh('destroy', name);
      await control('stop');
    },
  };
}

/** Numbers that no other run of this test uses now. */
const first = 20 + (process.pid % 200);

test('a point of one host is restored and booted on the other', async (context) => {
  if (process.getuid?.() !== 0) return context.skip('hosts of their own need root');
  const top = await mkdtemp(join(tmpdir(), 'mh-'));
  try {
    await runFile('chmod', ['755', top]);
    await using here = await startHost(top, first);
    await using there = await startHost(top, first + 1);
    const images = join(here.directory, 'images');
    const restored = join(there.directory, 'images');
    for (const directory of [images, restored]) await mkdir(directory, { mode: 0o755 });

    const guest = await makeGuest(
      { directory: images, virsh: async (...args) => await here.virsh(...args) },
      { name: 'web', disks: [{ format: 'qcow2' }, { format: 'raw' }] },
    );
    // The other host has nothing of this one but a kernel under the same name.
    await there.run('mount', '-t', 'tmpfs', 'hidden', here.directory);
    await here.run('mount', '-t', 'tmpfs', 'hidden', there.directory);
    await there.run('mkdir', images);
    for (const part of ['vmlinuz', 'initrd.img']) {
      await cp(join(images, part), join(top, part));
      await there.run('cp', join(top, part), join(images, part));
    }
    await assert.rejects(there.run('stat', guest.images[0] ?? ''), /No such file/);

    const storage = ['--storage', `file://${join(top, 'storage')}`];
    await here.holdfast('repo', 'init', ...storage);
    await guest.start();
    await sleep(700);
    const { point } = await here.holdfast('vm', 'backup', 'web', ...storage);
    await guest.destroy();

    const target = ['--as', 'web', '--directory', restored];
    const result = await there.holdfast('vm', 'restore', String(point), ...storage, ...target, '--start');
    await waitForAgent(there, 'web');
    await sleep(300);
    await there.virsh('destroy', 'web');
    const files = (result['disks'] as readonly { readonly to: string }[]).map(({ to }) => to);
    assert.deepEqual(files, [join(restored, 'web-vda.qcow2'), join(restored, 'web-vdb.raw')]);
    const [vda, vdb] = await readJournals(files);
    assert.ok(vda && vdb);
    for (const { file, bad, gaps, first: number, records } of [vda, vdb]) {
      assert.deepEqual({ bad, gaps, number }, { bad: 0, gaps: 0, number: 1 }, file);
      assert.ok(records > 0);
    }
    assert.ok([vda.last, vda.last - 1].includes(vdb.last), `${vda.last} and ${vdb.last}`);

    // The first host still has its own; the other goes on from its point as from one of its own.
    const uuids = await Promise.all([here, there].map(async (host) => (await host.virsh('domuuid', 'web')).trim()));
    assert.notEqual(uuids[0], uuids[1]);
    const remote = await runFile(join(root, 'bin/holdfast'), [
      ...['vm', 'restore', String(point), ...storage, ...target, '--json'],
      ...['--connect', `qemu+tcp://10.77.${first}.2/system`],
    ]).catch((error: { readonly stdout: string }) => error);
    assert.match(remote.stdout, /"code":"libvirt_remote"/);
  } finally {
    await rm(top, { recursive: true, force: true });
  }
});
