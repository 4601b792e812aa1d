/** `holdfast vm list` on a libvirt of its own with real machines. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { libvirtHostForTests } from '@holdfast/testing/guests';
import { holdfast, runHoldfast } from './testing/run-holdfast.ts';

const host = await libvirtHostForTests({ remote: true });

test('machines are listed for people and for scripts, from here and from another host', async () => {
  const none = await runHoldfast(['vm', 'list', '--connect', host.uri]);
  assert.deepEqual([none.code, none.stdout], [0, `${host.uri} has no virtual machines.\n`]);

  const guest = await host.makeGuest({ name: 'web', disks: [{ format: 'qcow2' }, { format: 'raw' }], writer: 'off' });
  await host.makeGuest({ name: 'archive', agent: false });
  await guest.start();
  const { stdout } = await runHoldfast(['vm', 'list', '--connect', host.uri]);
  const cells = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));
  assert.match(cells[0]?.join(' ') ?? '', /^NAME STATE AGENT DISK FORMAT SIZE USED SOURCE$/);
  assert.deepEqual(cells[1]?.slice(0, 6), ['archive', 'shut off', 'none', 'vda', 'qcow2', '64.00 MiB']);
  assert.deepEqual(cells[2]?.slice(0, 6), ['web', 'running', 'yes', 'vda', 'qcow2', '64.00 MiB']);
  assert.deepEqual(cells[3]?.slice(0, 4), ['', 'vdb', 'raw', '64.00 MiB']);

  for (const uri of [host.uri, host.remoteUri ?? '']) {
    const { machines, storage_pools: pools } = await holdfast(['vm', 'list', '--connect', uri]);
    const [archive, web] = machines as readonly Record<string, unknown>[];
    assert.deepEqual([archive?.['name'], archive?.['agent'], pools], ['archive', 'absent', []]);
    assert.deepEqual(
      [web?.['state'], web?.['persistent'], web?.['agent'], web?.['tpm']],
      ['running', true, 'connected', null],
    );
    const [vda] = (web?.['disks'] ?? []) as readonly Record<string, unknown>[];
    assert.deepEqual(vda?.['source'], { kind: 'file', path: guest.images[0] });
    assert.deepEqual([vda?.['size_bytes'], vda?.['format'], vda?.['backing']], [64 * MiB, 'qcow2', []]);
  }
  await guest.destroy();
});

test('a disk that is gone is a warning, not the end of the list', async () => {
  const lame = await host.makeGuest({ name: 'lame' });
  await rm(lame.images[0] ?? '');
  const run = await runHoldfast(['vm', 'list', '--connect', host.uri]);
  assert.equal(run.code, 0);
  assert.match(run.stdout, /^lame\s+shut off\s+-\s+vda\s+qcow2\s+-\s+-\s+\//m);
  assert.match(run.stderr, /warning: Disk vda of lame: .*No such file/);
  await lame.undefine();
});

test('what is no libvirt, or is not running, is said with its code', async () => {
  const code = async (uri: string) => {
    const run = await runHoldfast(['vm', 'list', '--connect', uri, '--json']);
    return [run.code, run.objects.at(-1)?.['code']];
  };
  assert.deepEqual(await code('xen:///system'), [2, 'usage']);
  assert.deepEqual(await code(`qemu:///system?socket=${host.directory}/none`), [1, 'libvirt_unreachable']);
  await host.killLibvirtd();
  assert.deepEqual(await code(host.uri), [1, 'libvirt_unreachable']);
  assert.deepEqual(await code(host.remoteUri ?? ''), [1, 'libvirt_unreachable']);
});
